<#
.SYNOPSIS
Runs one of LifeKeeper's own commands: what it said on each stream, its exit code, and the state of its service.
.DESCRIPTION
A command is a program, or a script for LifeKeeper's own Perl (LKW-02). Its folder is Root, else %LKROOT%, else C:\LK.
.PARAMETER Command
Its name without .exe.
.PARAMETER Words
Its arguments, as they are.
.PARAMETER Root
LifeKeeper's folder.
#>
[CmdletBinding()]
param(
    [Parameter(Mandatory = $true)][string]$Command,
    [AllowEmptyCollection()][AllowEmptyString()][string[]]$Words = @(),
    [string]$Root = ''
)
Set-StrictMode -Version Latest
if (-not (Test-Path -LiteralPath 'function:Invoke-Answer')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/answer.ps1') }

Invoke-Answer {
    $place = $Root
    if ($place -eq '' -and $null -ne $env:LKROOT) { $place = "$env:LKROOT" }
    if ($place -eq '') { $place = 'C:\LK' }
    $folder = [System.IO.Path]::Combine($place, 'Bin')
    if (-not [System.IO.Directory]::Exists($folder)) { Write-Missing "LifeKeeper is not installed there: there is no folder $folder" }
    $program = [System.IO.Path]::Combine($folder, $Command + '.exe')
    $given = @($Words)
    if (-not [System.IO.File]::Exists($program)) {
        $text = [System.IO.Path]::Combine($folder, $Command)
        if (-not [System.IO.File]::Exists($text)) { Write-Missing "there is no $Command in $folder" }
        $own = [System.IO.Path]::Combine($place, 'perl')
        $program = [System.IO.Path]::Combine($own, 'bin', 'perl.exe')
        if (-not [System.IO.File]::Exists($program)) {
            $perls = @()
            if ([System.IO.Directory]::Exists($own)) { $perls = @(Get-ChildItem -LiteralPath $own -Recurse -Filter 'perl.exe' -ErrorAction Stop) }
            if ($perls.Count -eq 0) { Write-Missing "there is no perl.exe in $own, which $Command needs" }
            $program = "$($perls[0].FullName)"
        }
        $given = @($Command) + $given
    }
    $said = Invoke-Native -Program $program -Words $given -Folder $folder
    if (-not $said.Whole) { Write-Warning "$Command left a process that holds its output open" }
    $service = $null
    try {
        foreach ($one in @(Get-Service -ErrorAction Stop)) { if ("$($one.Name)" -eq 'LifeKeeper') { $service = Get-Text -From $one -Name 'Status' } }
    }
    catch { Write-Warning ('the state of the service LifeKeeper was not told: ' + (Get-ErrorId -Record $_)) }
    [ordered]@{ Text = $said.Out; Errors = $said.Errors; Exit = $said.Exit; Service = $service }
}
