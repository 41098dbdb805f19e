<#
.SYNOPSIS
How this host would send to an address now: one row.
.DESCRIPTION
Windows answers with two objects, the source address and the route; errors 1231 and 1232 say that there is none.
.PARAMETER Address
An address, never a name.
#>
[CmdletBinding()]
param(
    [Parameter(Mandatory = $true)][string]$Address
)
Set-StrictMode -Version Latest
if (-not (Test-Path -LiteralPath 'function:Invoke-Answer')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/answer.ps1') }

Invoke-Answer {
    $local = $false
    foreach ($own in @(Find-All { Get-NetIPAddress -ErrorAction Stop })) {
        $usable = @('Preferred', 'Deprecated') -contains (Get-Text -From $own -Name 'AddressState')
        if ($usable -and (Get-Text -From $own -Name 'IPAddress') -eq $Address) { $local = $true }
    }
    $found = @()
    $unreachable = $false
    try { $found = @(Find-NetRoute -RemoteIPAddress $Address -ErrorAction Stop) }
    catch {
        if ((Get-ErrorId -Record $_) -notmatch '\b123[12],Find-NetRoute') { throw }
        $unreachable = $true
    }
    $source = $null
    $gateway = $null
    $alias = $null
    foreach ($one in $found) {
        $own = Get-Text -From $one -Name 'IPAddress'
        $hop = Get-Text -From $one -Name 'NextHop'
        if ($null -ne $own -and $own -ne '') { $source = $own }
        if ($null -ne $hop -and $hop -ne '') { $gateway = $hop }
        if ($null -eq $alias) { $alias = Get-Text -From $one -Name 'InterfaceAlias' }
    }
    [ordered]@{ Unreachable = $unreachable; Local = $local; InterfaceAlias = $alias; IPAddress = $source; NextHop = $gateway }
}
