<#
.SYNOPSIS
Moves a role to a node, or brings one resource online or takes it offline; does not wait for it.
.PARAMETER Action
move, start or stop.
.PARAMETER Name
Of the role to move, or the resource.
.PARAMETER Node
Where to move it.
#>
[CmdletBinding()]
param(
    [Parameter(Mandatory = $true)][ValidateSet('move', 'start', 'stop')][string]$Action,
    [Parameter(Mandatory = $true)][string]$Name,
    [string]$Node = ''
)
Set-StrictMode -Version Latest
if (-not (Test-Path -LiteralPath 'function:Invoke-Answer')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/answer.ps1') }

Invoke-Answer {
    if ($Action -eq 'move' -and $Node -eq '') { throw 'a move needs the node to move to' }
    if ($Action -eq 'move') {
        $role = Get-OnlyNamed -Among @(Get-ClusterGroup -ErrorAction Stop) -Name $Name -What 'role'
        $null = Move-ClusterGroup -InputObject $role -Node $Node -Wait 0 -ErrorAction Stop
    }
    else {
        $one = Get-OnlyNamed -Among @(Get-ClusterResource -ErrorAction Stop) -Name $Name -What 'resource'
        if ($Action -eq 'start') { $null = Start-ClusterResource -InputObject $one -Wait 0 -ErrorAction Stop }
        if ($Action -eq 'stop') { $null = Stop-ClusterResource -InputObject $one -Wait 0 -ErrorAction Stop }
    }
    [ordered]@{ Action = $Action; Name = $Name; Node = $Node }
}
