<#
.SYNOPSIS
One process by its number: its name and when it started. No row: there is none.
.PARAMETER Id
Its number.
#>
[CmdletBinding()]
param(
    [Parameter(Mandatory = $true)][int]$Id
)
Set-StrictMode -Version Latest
if (-not (Test-Path -LiteralPath 'function:Invoke-Answer')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/answer.ps1') }

Invoke-Answer {
    foreach ($process in @(Get-Process -ErrorAction Stop)) {
        if ([int]$process.Id -ne $Id) { continue }
        $at = $null
        try { $at = Get-Field -From $process -Name 'StartTime' }
        catch {
            # It may have ended since it was listed; and of another account's the start may not be told.
            if ($true -eq (Get-Field -From $process -Name 'HasExited')) { continue }
            throw
        }
        if ($null -ne $at) { $at = ConvertTo-Moment -Value $at }
        [ordered]@{ Id = $Id; Name = "$($process.ProcessName)"; StartedAt = $at }
    }
}
