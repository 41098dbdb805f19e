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
if (-not (Test-Path -LiteralPath 'function:Invoke-Answer')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../engine/answer.ps1') }

Invoke-Answer {
    foreach ($process in @(Get-Process -ErrorAction Stop)) {
        if ([int]$process.Id -ne $Id) { continue }
        [ordered]@{ Id = $Id; Name = "$($process.ProcessName)"; StartedAt = ConvertTo-Moment -Value $process.StartTime }
    }
}
