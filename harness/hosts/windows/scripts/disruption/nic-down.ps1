<#
.SYNOPSIS
Disables the network adapter that has an address. The session that asks may end with it.
.DESCRIPTION
It stays disabled over a restart, so it is done only while this host waits to undo it. Windows answers before the adapter is off, and
enabling it fails until then (WHST-87): so it is looked at until it is off, and what undoes it is told so. Where it was undone meanwhile,
the adapter is enabled again.
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
        if ((Get-Text -From $one -Name 'IPAddress') -eq $Address -and (Get-Text -From $one -Name 'InterfaceAlias') -eq $Nic) { $there = $true }
    }
    if (-not $there) { Write-Refusal -Id 'OtherAdapter' -Why "$Nic has not the address $Address any more, so nothing was done" }
    Assert-Armed -Token $Undo
    Assert-Lease -Token $Lease
    $before = Get-WallClock
    $name = [System.Management.Automation.WildcardPattern]::Escape($Nic)
    Disable-NetAdapter -Name $name -Confirm:$false -ErrorAction Stop
    $after = Get-WallClock
    # Its status, as often as is needed: the first of these looks may come before it is off.
    $stateOf = {
        $state = ''
        foreach ($one in @(Get-NetAdapter -IncludeHidden -ErrorAction Stop)) {
            if ((Get-Text -From $one -Name 'Name') -eq $Nic) { $state = Get-Text -From $one -Name 'Status' }
        }
        $state
    }
    $clock = [System.Diagnostics.Stopwatch]::StartNew()
    $state = & $stateOf
    while ($state -ne 'Disabled' -and $clock.Elapsed.TotalSeconds -lt 8) {
        Start-Sleep -Milliseconds 100
        $state = & $stateOf
    }
    try {
        Assert-Armed -Token $Undo
        if ($state -eq 'Disabled') { Write-UndoMark -Token $Undo -Name 'down' }
        else { Write-Warning "$Nic was not seen to be disabled: it is $state" }
    }
    catch {
        $why = $_
        # Nobody waits any more, and what waited may have enabled it before it was off. One that was not off yet may go off all this time.
        $off = $state -eq 'Disabled'
        $problem = ''
        $clock.Restart()
        while ($clock.Elapsed.TotalSeconds -lt 30) {
            try {
                Enable-NetAdapter -Name $name -Confirm:$false -ErrorAction Stop
                $problem = ''
                if ($off -and (& $stateOf) -ne 'Disabled') { break }
            }
            catch { $problem = Get-ErrorId -Record $_ }
            Start-Sleep -Milliseconds 500
        }
        if ($problem -ne '') { Write-Warning "$Nic could not be enabled again: $problem" }
        throw $why
    }
    [ordered]@{ Before = $before; After = $after }
}
