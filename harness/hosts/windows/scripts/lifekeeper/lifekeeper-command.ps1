<#
.SYNOPSIS
Asks one of LifeKeeper's own commands that only tell: what it said on each stream, its exit code, and the state of its service.
.PARAMETER Command
Its name without .exe.
.PARAMETER Words
Its arguments, as they are.
.PARAMETER Root
LifeKeeper's folder.
#>
[CmdletBinding()]
param(
    [Parameter(Mandatory = $true)][ValidateSet('lcdstatus', 'ins_list', 'flg_list')][string]$Command,
    [AllowEmptyCollection()][AllowEmptyString()][string[]]$Words = @(),
    [string]$Root = ''
)
Set-StrictMode -Version Latest
if (-not (Test-Path -LiteralPath 'function:Invoke-Answer')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/answer.ps1') }

Invoke-Answer {
    $own = Find-LifeKeeperProgram -Command $Command -Root $Root
    $said = Invoke-Native -Program $own.Program -Words (@($own.Words) + @($Words)) -Folder $own.Folder
    if (-not $said.Whole) { Write-Warning "$Command left a process that holds its output open" }
    $service = $null
    try { $service = Get-Text -From (Read-Service -Name 'LifeKeeper') -Name 'Status' }
    catch { Write-Warning ('the state of the service LifeKeeper was not told: ' + (Get-ErrorId -Record $_)) }
    [ordered]@{ Text = $said.Out; Errors = $said.Errors; Exit = $said.Exit; Service = $service }
}
