<#
.SYNOPSIS
Windows Firewall as it is in force: profiles, NICs, and every enabled rule with its filters.
.DESCRIPTION
Rows of kind (K) profile, nic and rule. A rule whose filter of some kind was not told lacks that filter's fields. Rules are those of
ActiveStore: this host's own and group policy's together (WNET-33).
#>
[CmdletBinding()]
param()
Set-StrictMode -Version Latest
if (-not (Test-Path -LiteralPath 'function:Invoke-Answer')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/answer.ps1') }

Invoke-Answer {
    foreach ($found in @(Get-NetFirewallProfile -PolicyStore ActiveStore -ErrorAction Stop)) {
        [ordered]@{
            K                        = 'profile'
            Name                     = Get-Text -From $found -Name 'Name'
            Enabled                  = Get-Text -From $found -Name 'Enabled'
            DefaultInboundAction     = Get-Text -From $found -Name 'DefaultInboundAction'
            DefaultOutboundAction    = Get-Text -From $found -Name 'DefaultOutboundAction'
            AllowInboundRules        = Get-Text -From $found -Name 'AllowInboundRules'
            AllowLocalFirewallRules  = Get-Text -From $found -Name 'AllowLocalFirewallRules'
            DisabledInterfaceAliases = @(Get-Words -From $found -Name 'DisabledInterfaceAliases')
        }
    }
    $category = @{}
    foreach ($connection in @(Find-All { Get-NetConnectionProfile -ErrorAction Stop })) {
        $category["$(Get-Text -From $connection -Name 'InterfaceAlias')"] = Get-Text -From $connection -Name 'NetworkCategory'
    }
    $addresses = @{}
    foreach ($address in @(Find-All { Get-NetIPAddress -ErrorAction Stop })) {
        $alias = "$(Get-Text -From $address -Name 'InterfaceAlias')"
        if (-not $addresses.ContainsKey($alias)) { $addresses[$alias] = New-Object System.Collections.ArrayList }
        $own = ("$(Get-Text -From $address -Name 'IPAddress')" -split '%')[0]
        [void]$addresses[$alias].Add($own + '/' + "$(Get-Text -From $address -Name 'PrefixLength')")
    }
    foreach ($alias in @($addresses.Keys)) {
        [ordered]@{ K = 'nic'; InterfaceAlias = $alias; NetworkCategory = $category[$alias]; Addresses = @($addresses[$alias]) }
    }
    # One call for each kind and a join by InstanceID: a call costs by the rules that there are (WNET-37, WNET-38).
    $filters = @{}
    $kinds = [ordered]@{
        Port          = { Get-NetFirewallPortFilter -PolicyStore ActiveStore -ErrorAction Stop }
        Address       = { Get-NetFirewallAddressFilter -PolicyStore ActiveStore -ErrorAction Stop }
        Application   = { Get-NetFirewallApplicationFilter -PolicyStore ActiveStore -ErrorAction Stop }
        Service       = { Get-NetFirewallServiceFilter -PolicyStore ActiveStore -ErrorAction Stop }
        Interface     = { Get-NetFirewallInterfaceFilter -PolicyStore ActiveStore -ErrorAction Stop }
        InterfaceType = { Get-NetFirewallInterfaceTypeFilter -PolicyStore ActiveStore -ErrorAction Stop }
        Security      = { Get-NetFirewallSecurityFilter -PolicyStore ActiveStore -ErrorAction Stop }
    }
    foreach ($kind in @($kinds.Keys)) {
        $filters[$kind] = @{}
        foreach ($filter in @(Find-All $kinds[$kind])) { $filters[$kind]["$(Get-Text -From $filter -Name 'InstanceID')"] = $filter }
    }
    foreach ($rule in @(Find-All { Get-NetFirewallRule -PolicyStore ActiveStore -ErrorAction Stop })) {
        if ((Get-Text -From $rule -Name 'Enabled') -ne 'True') { continue }
        $id = "$(Get-Text -From $rule -Name 'InstanceID')"
        $row = [ordered]@{
            K                     = 'rule'
            Name                  = Get-Text -From $rule -Name 'DisplayName'
            Id                    = $id
            Enabled               = 'True'
            Direction             = Get-Text -From $rule -Name 'Direction'
            Action                = Get-Text -From $rule -Name 'Action'
            Profile               = Get-Text -From $rule -Name 'Profile'
            EnforcementStatus     = @(Get-Words -From $rule -Name 'EnforcementStatus')
            PolicyStoreSourceType = Get-Text -From $rule -Name 'PolicyStoreSourceType'
        }
        $port = $filters['Port'][$id]
        if ($null -ne $port) {
            $row['Protocol'] = Get-Text -From $port -Name 'Protocol'
            $row['LocalPort'] = @(Get-Words -From $port -Name 'LocalPort')
            $row['RemotePort'] = @(Get-Words -From $port -Name 'RemotePort')
        }
        $address = $filters['Address'][$id]
        if ($null -ne $address) {
            $row['LocalAddress'] = @(Get-Words -From $address -Name 'LocalAddress')
            $row['RemoteAddress'] = @(Get-Words -From $address -Name 'RemoteAddress')
        }
        $application = $filters['Application'][$id]
        if ($null -ne $application) { $row['Program'] = Get-Text -From $application -Name 'Program' }
        $service = $filters['Service'][$id]
        if ($null -ne $service) { $row['Service'] = Get-Text -From $service -Name 'Service' }
        $interface = $filters['Interface'][$id]
        if ($null -ne $interface) { $row['InterfaceAlias'] = @(Get-Words -From $interface -Name 'InterfaceAlias') }
        $type = $filters['InterfaceType'][$id]
        if ($null -ne $type) { $row['InterfaceType'] = @(Get-Words -From $type -Name 'InterfaceType') }
        $security = $filters['Security'][$id]
        if ($null -ne $security) { $row['Authentication'] = Get-Text -From $security -Name 'Authentication' }
        $row
    }
}
