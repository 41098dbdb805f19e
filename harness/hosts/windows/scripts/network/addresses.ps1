<#
.SYNOPSIS
Every address on every interface, with its adapter's status.
#>
[CmdletBinding()]
param()
Set-StrictMode -Version Latest
if (-not (Test-Path -LiteralPath 'function:Invoke-Answer')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/answer.ps1') }

Invoke-Answer {
    $status = @{}
    foreach ($adapter in @(Find-All { Get-NetAdapter -IncludeHidden -ErrorAction Stop })) {
        $index = Get-Field -From $adapter -Name 'ifIndex'
        if ($null -ne $index) { $status[[int]$index] = Get-Text -From $adapter -Name 'Status' }
    }
    foreach ($address in @(Find-All { Get-NetIPAddress -ErrorAction Stop })) {
        $index = Get-Field -From $address -Name 'InterfaceIndex'
        $link = $null
        if ($null -ne $index) { $link = $status[[int]$index] }
        [ordered]@{
            InterfaceAlias = Get-Text -From $address -Name 'InterfaceAlias'
            InterfaceIndex = $index
            IPAddress      = Get-Text -From $address -Name 'IPAddress'
            PrefixLength   = Get-Field -From $address -Name 'PrefixLength'
            AddressState   = Get-Text -From $address -Name 'AddressState'
            PrefixOrigin   = Get-Text -From $address -Name 'PrefixOrigin'
            SkipAsSource   = Get-Field -From $address -Name 'SkipAsSource'
            Status         = $link
        }
    }
}
