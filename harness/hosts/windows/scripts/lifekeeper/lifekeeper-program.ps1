<#
.SYNOPSIS
Where one of LifeKeeper's own commands that change something is, and how it is run. It is not run.
.PARAMETER Command
Its name without .exe.
.PARAMETER Root
LifeKeeper's folder.
#>
[CmdletBinding()]
param(
    [Parameter(Mandatory = $true)][ValidateSet('perform_action')][string]$Command,
    [string]$Root = ''
)
Set-StrictMode -Version Latest
if (-not (Test-Path -LiteralPath 'function:Invoke-Answer')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/answer.ps1') }

Invoke-Answer {
    $own = Find-LifeKeeperProgram -Command $Command -Root $Root
    [ordered]@{ Program = $own.Program; Words = @($own.Words); Folder = $own.Folder }
}
