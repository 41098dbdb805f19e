<#
.SYNOPSIS
What this node says of its Windows Server Failover Cluster.
.DESCRIPTION
Rows of kind (K) service, node, group, resource, network, nic, owners, quorum, dependency and address. A service that does not run is
the only row.
.PARAMETER Group
Ask who may own this role's resources, and for the quorum, in place of the networks.
.PARAMETER Resource
Ask what depends on what, and for this resource's address, in place of the networks.
#>
[CmdletBinding()]
param(
    [string]$Group = '',
    [string]$Resource = ''
)
Set-StrictMode -Version Latest
if (-not (Test-Path -LiteralPath 'function:Invoke-Answer')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/answer.ps1') }

Invoke-Answer {
    $service = Get-Text -From (Read-Service -Name 'ClusSvc') -Name 'Status'
    if ($null -eq $service) { Write-Missing 'there is no cluster service (ClusSvc)' }
    [ordered]@{ K = 'service'; Name = 'ClusSvc'; State = $service; Node = [System.Environment]::MachineName }
    if ($service -ne 'Running') { return }
    foreach ($node in @(Get-ClusterNode -ErrorAction Stop)) {
        [ordered]@{
            K = 'node'; Name = Get-Text -From $node -Name 'Name'; State = Get-Text -From $node -Name 'State'
            Drain = Get-Text -From $node -Name 'DrainStatus'; Vote = Get-Number -From $node -Name 'DynamicWeight'
            Weight = Get-Number -From $node -Name 'NodeWeight'; Status = Get-Text -From $node -Name 'StatusInformation'
        }
    }
    foreach ($role in @(Get-ClusterGroup -ErrorAction Stop)) {
        [ordered]@{
            K = 'group'; Name = Get-Text -From $role -Name 'Name'; OwnerNode = Get-NameOf -From $role -Name 'OwnerNode'
            State = Get-Text -From $role -Name 'State'; Threshold = Get-Number -From $role -Name 'FailoverThreshold'
            Locked = Get-Flag -From $role -Name 'LockedFromMoving'; Status = Get-Text -From $role -Name 'StatusInformation'
            Priority = Get-Number -From $role -Name 'Priority'; Period = Get-Number -From $role -Name 'FailoverPeriod'
        }
    }
    $resources = @(Get-ClusterResource -ErrorAction Stop)
    foreach ($one in $resources) {
        [ordered]@{
            K = 'resource'; Name = Get-Text -From $one -Name 'Name'; OwnerGroup = Get-NameOf -From $one -Name 'OwnerGroup'
            OwnerNode = Get-NameOf -From $one -Name 'OwnerNode'; State = Get-Text -From $one -Name 'State'
            Maintenance = Get-Flag -From $one -Name 'MaintenanceMode'; Type = Get-NameOf -From $one -Name 'ResourceType'
            RestartAction = Get-Number -From $one -Name 'RestartAction'
        }
    }
    if ($Group -eq '' -and $Resource -eq '') {
        foreach ($network in @(Get-ClusterNetwork -ErrorAction Stop)) {
            [ordered]@{ K = 'network'; Name = Get-Text -From $network -Name 'Name'; Role = Get-Text -From $network -Name 'Role' }
        }
        foreach ($nic in @(Get-ClusterNetworkInterface -ErrorAction Stop)) {
            [ordered]@{
                K = 'nic'; Node = Get-NameOf -From $nic -Name 'Node'; Network = Get-NameOf -From $nic -Name 'Network'
                State = Get-Text -From $nic -Name 'State'; Address = Get-Text -From $nic -Name 'Address'
            }
        }
    }
    if ($Group -ne '') {
        foreach ($one in $resources) {
            if ((Get-NameOf -From $one -Name 'OwnerGroup') -ne $Group) { continue }
            $owners = Get-ClusterOwnerNode -InputObject $one -ErrorAction Stop
            $names = @(foreach ($node in @(Get-Field -From $owners -Name 'OwnerNodes')) { if ($null -ne $node) { Get-Name -From $node } })
            [ordered]@{ K = 'owners'; Name = "$(Get-Text -From $one -Name 'Name')"; Nodes = $names }
        }
        $quorum = Get-ClusterQuorum -ErrorAction Stop
        $own = Get-Cluster -ErrorAction Stop
        $witness = Get-Field -From $quorum -Name 'QuorumResource'
        [ordered]@{
            K = 'quorum'; Witness = Get-Text -From $witness -Name 'Name'; State = Get-Text -From $witness -Name 'State'
            Type = Get-Text -From $quorum -Name 'QuorumType'; WitnessVote = Get-Number -From $own -Name 'WitnessDynamicWeight'
            Dynamic = Get-Number -From $own -Name 'DynamicQuorum'; Fixed = Get-Number -From $own -Name 'FixQuorum'
            Prevented = Get-Number -From $own -Name 'PreventQuorum'; Quarantine = Get-Number -From $own -Name 'QuarantineThreshold'
        }
    }
    if ($Resource -ne '') {
        foreach ($one in $resources) {
            if ((Get-Text -From $one -Name 'State') -eq 'Offline') { continue }
            $depends = Get-ClusterResourceDependency -InputObject $one -ErrorAction Stop
            [ordered]@{ K = 'dependency'; Name = "$(Get-Text -From $one -Name 'Name')"; On = Get-Text -From $depends -Name 'DependencyExpression' }
        }
        foreach ($one in $resources) {
            if ((Get-Text -From $one -Name 'Name') -ne $Resource) { continue }
            # All of them: what lacks one of that name is no error then, and every error is one.
            $has = @{}
            foreach ($parameter in @(Get-ClusterParameter -InputObject $one -ErrorAction Stop)) {
                $has["$(Get-Text -From $parameter -Name 'Name')"] = Get-Text -From $parameter -Name 'Value'
            }
            if (-not $has.ContainsKey('Address')) { continue }
            $probe = $null
            if ("$($has['ProbePort'])" -match '\A[0-9]{1,5}\z') { $probe = [int]$has['ProbePort'] }
            [ordered]@{ K = 'address'; Name = $Resource; Address = $has['Address']; Mask = $has['SubnetMask']; ProbePort = $probe }
        }
    }
}
