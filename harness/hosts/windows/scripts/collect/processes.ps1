<#
.SYNOPSIS
Every process by its name only: arguments may hold secrets.
.DESCRIPTION
When one of another account started is not told to everybody, and null then.
#>
[CmdletBinding()]
param()
Set-StrictMode -Version Latest
if (-not (Test-Path -LiteralPath 'function:Invoke-Answer')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/answer.ps1') }

Invoke-Answer {
    foreach ($process in @(Get-Process -ErrorAction Stop)) {
        # It may have ended since it was listed, or be of an account whose times are not told.
        try { $at = Get-Field -From $process -Name 'StartTime' }
        catch { $at = $null }
        if ($null -ne $at) { $at = ConvertTo-Moment -Value $at }
        [ordered]@{ Id = [int]$process.Id; Name = "$($process.ProcessName)"; StartedAt = $at }
    }
}
