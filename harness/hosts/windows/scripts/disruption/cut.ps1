<#
.SYNOPSIS
Drops packets between this host's addresses and others, by two block rules of Windows Firewall: what comes in, and what goes out.
.DESCRIPTION
Block goes before allow (WNET-01), and a new rule has flows that are there judged again (WNET-17, 18). A rule's direction says who opened the
connection, so both are needed (WNET-19), and neither cuts one direction only (WNET-21). Done only while this host waits to undo it.
.PARAMETER Rule
The name that both rules show; theirs end with -in and -out.
.PARAMETER Local
This host's addresses.
.PARAMETER Remote
The other addresses.
.PARAMETER Port
Only TCP to this port of this host, and only what comes in; 0: everything.
.PARAMETER Undo
The token of what is armed.
.PARAMETER Lease
The token of the lease that must be on this host; empty where none is needed.
#>
[CmdletBinding()]
param(
    [Parameter(Mandatory = $true)][string]$Rule,
    [Parameter(Mandatory = $true)][string[]]$Local,
    [Parameter(Mandatory = $true)][string[]]$Remote,
    [int]$Port = 0,
    [Parameter(Mandatory = $true)][string]$Undo,
    [string]$Lease = ''
)
Set-StrictMode -Version Latest
if (-not (Test-Path -LiteralPath 'function:Invoke-Answer')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/answer.ps1') }
if (-not (Test-Path -LiteralPath 'function:Open-OwnFolder')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/own-folder.ps1') }

Invoke-Answer {
    if ($Rule -cne ('lkharness-' + $Undo)) { Write-Refusal -Id 'BadName' -Why 'a rule has the name of what undoes it' }
    $about = @{ DisplayName = $Rule; Action = 'Block'; Enabled = 'True'; Profile = 'Any'; RemoteAddress = $Remote; ErrorAction = 'Stop' }
    if ($Port -eq 0) { $about['LocalAddress'] = $Local }
    else {
        $about['Protocol'] = 'TCP'
        $about['LocalPort'] = "$Port"
    }
    Assert-Armed -Token $Undo
    Assert-Lease -Token $Lease
    $before = Get-WallClock
    $null = New-NetFirewallRule -Name ($Rule + '-in') -Direction Inbound @about
    if ($Port -eq 0) { $null = New-NetFirewallRule -Name ($Rule + '-out') -Direction Outbound @about }
    try { Assert-Armed -Token $Undo }
    catch {
        # Undone between the two: what was made after that would stay, since nobody waits any more.
        foreach ($end in @('-in', '-out')) {
            foreach ($one in @(Find-All { Get-NetFirewallRule -Name ($Rule + $end) -ErrorAction Stop })) {
                Remove-NetFirewallRule -InputObject $one -ErrorAction Stop
            }
        }
        throw
    }
    [ordered]@{ Before = $before; After = (Get-WallClock) }
}
