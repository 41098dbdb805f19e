<#
.SYNOPSIS
Disables the network adapter that has an address. The session that asks may end with it.
.DESCRIPTION
It stays disabled over a restart (WHST-87), so it is done only while this host waits to undo it.
.PARAMETER Nic
The adapter's name.
.PARAMETER Address
The address that it must have.
.PARAMETER Undo
The token of what is armed.
.PARAMETER Lease
The token of the lease that must be on this host; empty where none is needed.
#>
[CmdletBinding()]
param(
    [Parameter(Mandatory = $true)][string]$Nic,
    [Parameter(Mandatory = $true)][string]$Address,
    [Parameter(Mandatory = $true)][string]$Undo,
    [string]$Lease = ''
)
Set-StrictMode -Version Latest
if (-not (Test-Path -LiteralPath 'function:Invoke-Answer')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/answer.ps1') }
if (-not (Test-Path -LiteralPath 'function:Open-OwnFolder')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/own-folder.ps1') }

Invoke-Answer {
    $there = $false
    foreach ($one in @(Get-NetIPAddress -ErrorAction Stop)) {
        if ("$($one.IPAddress)" -eq $Address -and "$($one.InterfaceAlias)" -eq $Nic) { $there = $true }
    }
    if (-not $there) { Write-Refusal -Id 'OtherAdapter' -Why "$Nic has not the address $Address any more, so nothing was done" }
    Assert-Armed -Token $Undo
    Assert-Lease -Token $Lease
    $before = Get-WallClock
    Disable-NetAdapter -Name ([System.Management.Automation.WildcardPattern]::Escape($Nic)) -Confirm:$false -ErrorAction Stop
    [ordered]@{ Before = $before; After = (Get-WallClock) }
}
