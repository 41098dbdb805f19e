<#
.SYNOPSIS
Which boot this is: the kernel's own number of it, and the seconds of a count that begins with it.
.DESCRIPTION
Neither moves when the clock is set or a log begins anew, as the moment of the last start does (WHST-97).
#>
[CmdletBinding()]
param()
Set-StrictMode -Version Latest
if (-not (Test-Path -LiteralPath 'function:Invoke-Answer')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/answer.ps1') }
if (-not (Test-Path -LiteralPath 'function:Open-OwnFolder')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/own-folder.ps1') }

Invoke-Answer {
    [ordered]@{ Number = (Get-BootNumber); Ticks = (Get-Ticks) }
}
