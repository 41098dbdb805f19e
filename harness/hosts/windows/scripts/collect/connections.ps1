<#
.SYNOPSIS
Every TCP connection, whatever its state.
#>
[CmdletBinding()]
param()
Set-StrictMode -Version Latest
if (-not (Test-Path -LiteralPath 'function:Invoke-Answer')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/answer.ps1') }

Invoke-Answer {
    foreach ($one in @(Find-All { Get-NetTCPConnection -ErrorAction Stop })) {
        [ordered]@{
            LocalAddress  = Get-Text -From $one -Name 'LocalAddress'
            LocalPort     = Get-Field -From $one -Name 'LocalPort'
            RemoteAddress = Get-Text -From $one -Name 'RemoteAddress'
            RemotePort    = Get-Field -From $one -Name 'RemotePort'
            State         = Get-Text -From $one -Name 'State'
            OwningProcess = Get-Field -From $one -Name 'OwningProcess'
        }
    }
}
