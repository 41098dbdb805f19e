<#
.SYNOPSIS
The text of LifeKeeper's file of settings. No row: there is no such file.
.PARAMETER Root
LifeKeeper's folder; else %LKROOT%, else C:\LK.
#>
[CmdletBinding()]
param(
    [string]$Root = ''
)
Set-StrictMode -Version Latest
if (-not (Test-Path -LiteralPath 'function:Invoke-Answer')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/answer.ps1') }

Invoke-Answer {
    $place = $Root
    if ($place -eq '' -and $null -ne $env:LKROOT) { $place = "$env:LKROOT" }
    if ($place -eq '') { $place = 'C:\LK' }
    if (-not [System.IO.Directory]::Exists($place)) { Write-Missing "LifeKeeper is not installed there: there is no folder $place" }
    $file = [System.IO.Path]::Combine($place, 'etc', 'default', 'LifeKeeper')
    if ([System.IO.File]::Exists($file)) { [ordered]@{ Text = [System.IO.File]::ReadAllText($file) } }
}
