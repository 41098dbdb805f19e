<#
.SYNOPSIS
Every listening TCP socket, with its process.
#>
[CmdletBinding()]
param()
Set-StrictMode -Version Latest
if (-not (Test-Path -LiteralPath 'function:Invoke-Answer')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/answer.ps1') }

Invoke-Answer {
    $names = @{}
    foreach ($process in @(Get-Process -ErrorAction Stop)) { $names[[int]$process.Id] = "$($process.ProcessName)" }
    foreach ($socket in @(Find-All { Get-NetTCPConnection -State Listen -ErrorAction Stop })) {
        $owner = Get-Field -From $socket -Name 'OwningProcess'
        $name = $null
        if ($null -ne $owner) { $name = $names[[int]$owner] }
        [ordered]@{
            LocalAddress  = Get-Text -From $socket -Name 'LocalAddress'
            LocalPort     = Get-Field -From $socket -Name 'LocalPort'
            OwningProcess = $owner
            Process       = $name
        }
    }
}
