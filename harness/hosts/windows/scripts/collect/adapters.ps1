<#
.SYNOPSIS
Every network adapter: what it is, where it sits, and in which order Windows has it.
.DESCRIPTION
An adapter that is not there any more, as after a move of the machine, is hidden and keeps its name.
#>
[CmdletBinding()]
param()
Set-StrictMode -Version Latest
if (-not (Test-Path -LiteralPath 'function:Invoke-Answer')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/answer.ps1') }

Invoke-Answer {
    foreach ($one in @(Find-All { Get-NetAdapter -IncludeHidden -ErrorAction Stop })) {
        [ordered]@{
            Name     = Get-Text -From $one -Name 'Name'
            Index    = Get-Field -From $one -Name 'ifIndex'
            Device   = Get-Text -From $one -Name 'InterfaceDescription'
            Mac      = Get-Text -From $one -Name 'MacAddress'
            Status   = Get-Text -From $one -Name 'Status'
            Hidden   = Get-Field -From $one -Name 'Hidden'
            Virtual  = Get-Field -From $one -Name 'Virtual'
            DeviceId = Get-Text -From $one -Name 'PnPDeviceID'
        }
    }
}
