@{
    RootModule        = 'StandIns.psm1'
    ModuleVersion     = '1.0.0'
    GUID              = '5f0d7b0c-3c5e-4a55-9a0e-7b6f2c1d9e10'
    Description       = 'Stand-ins for cmdlets that only Windows has'
    FunctionsToExport = @(
        'Disable-NetAdapter',
        'Find-NetRoute',
        'Get-Acl',
        'Get-CimClass',
        'Get-CimInstance',
        'Get-ClusterGroup',
        'Get-ClusterNetwork',
        'Get-ClusterNetworkInterface',
        'Get-ClusterNode',
        'Get-ClusterOwnerNode',
        'Get-ClusterParameter',
        'Get-ClusterQuorum',
        'Get-ClusterResource',
        'Get-ClusterResourceDependency',
        'Get-NetAdapter',
        'Get-NetConnectionProfile',
        'Get-NetFirewallAddressFilter',
        'Get-NetFirewallApplicationFilter',
        'Get-NetFirewallInterfaceFilter',
        'Get-NetFirewallInterfaceTypeFilter',
        'Get-NetFirewallPortFilter',
        'Get-NetFirewallProfile',
        'Get-NetFirewallRule',
        'Get-NetFirewallSecurityFilter',
        'Get-NetFirewallServiceFilter',
        'Get-NetIPAddress',
        'Get-NetIPInterface',
        'Get-NetNeighbor',
        'Get-NetRoute',
        'Get-NetTCPConnection',
        'Get-NetTCPSetting',
        'Get-ScheduledTask',
        'Get-Service',
        'Get-WinEvent',
        'Invoke-CimMethod',
        'Move-ClusterGroup',
        'New-CimInstance',
        'New-NetFirewallRule',
        'New-ScheduledTaskAction',
        'New-ScheduledTaskPrincipal',
        'New-ScheduledTaskSettingsSet',
        'New-ScheduledTaskTrigger',
        'Register-ScheduledTask',
        'Start-ClusterResource',
        'Start-ScheduledTask',
        'Start-Service',
        'Stop-ClusterResource',
        'Stop-Service',
        'Unregister-ScheduledTask')
    CmdletsToExport   = @()
    VariablesToExport = @()
    AliasesToExport   = @()
}
