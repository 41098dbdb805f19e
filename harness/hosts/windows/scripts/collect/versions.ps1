<#
.SYNOPSIS
Versions of the kernel, and of what is installed of LifeKeeper and DataKeeper.
.DESCRIPTION
From the registry's list of what can be uninstalled.
#>
[CmdletBinding()]
param()
Set-StrictMode -Version Latest
if (-not (Test-Path -LiteralPath 'function:Invoke-Answer')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/answer.ps1') }

Invoke-Answer {
    [ordered]@{ Name = 'kernel'; Version = "$([System.Environment]::OSVersion.Version)" }
    $key = 'HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall'
    $said = Invoke-Native -Program 'reg' -Words @('query', $key, '/s')
    if ($said.Exit -ne 0) { Write-Warning "what is installed was not told (reg, code $($said.Exit))"; return }
    $name = $null
    $version = $null
    # A last line that begins a key, so that the last of them is told like the others.
    foreach ($line in @($said.Out -split '\r?\n') + @('HKEY')) {
        if ($line -match '^HKEY') {
            if ("$name" -match '^(LifeKeeper|SIOS Protection|DataKeeper)' -and "$version" -ne '') { [ordered]@{ Name = $name; Version = $version } }
            $name = $null
            $version = $null
        }
        elseif ($line -match '^\s+DisplayName\s+REG_SZ\s+(.*\S)') { $name = $Matches[1] }
        elseif ($line -match '^\s+DisplayVersion\s+REG_SZ\s+(.*\S)') { $version = $Matches[1] }
    }
}
