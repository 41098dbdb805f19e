<#
.SYNOPSIS
Every IPv4 interface: its weak-host settings, its metric, and whether DHCP gives its address.
#>
[CmdletBinding()]
param()
Set-StrictMode -Version Latest
if (-not (Test-Path -LiteralPath 'function:Invoke-Answer')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/answer.ps1') }

Invoke-Answer {
    foreach ($interface in @(Find-All { Get-NetIPInterface -AddressFamily IPv4 -ErrorAction Stop })) {
        [ordered]@{
            InterfaceAlias  = Get-Text -From $interface -Name 'InterfaceAlias'
            InterfaceIndex  = Get-Field -From $interface -Name 'InterfaceIndex'
            WeakHostSend    = Get-Text -From $interface -Name 'WeakHostSend'
            WeakHostReceive = Get-Text -From $interface -Name 'WeakHostReceive'
            Forwarding      = Get-Text -From $interface -Name 'Forwarding'
            Dhcp            = Get-Text -From $interface -Name 'Dhcp'
            InterfaceMetric = Get-Field -From $interface -Name 'InterfaceMetric'
        }
    }
}
