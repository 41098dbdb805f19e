<#
.SYNOPSIS
Stands in for the cmdlets that only Windows has: objects with the documented types and enumerations.
.DESCRIPTION
$env:LK_SCENE says what they answer: none, one, many, error, warning, slow. A name among "many" holds every kind of quote. Errors are
non-terminating, as those of the real cmdlets are, and their messages are not English.
#>
Set-StrictMode -Version Latest

$types = @"
namespace StandIns {
 public enum AddressState : ushort { Invalid = 0, Tentative = 1, Duplicate = 2, Deprecated = 3, Preferred = 4 }
 public enum PrefixOrigin : ushort { Other = 0, Manual = 1, WellKnown = 2, Dhcp = 3, RouterAdvertisement = 4 }
 public enum Switch : byte { Disabled = 0, Enabled = 1 }
 public enum GpoBoolean : ushort { False = 0, True = 1, NotConfigured = 2 }
 public enum Enabled : ushort { True = 1, False = 2 }
 public enum Action : ushort { NotConfigured = 0, Allow = 2, AllowBypass = 3, Block = 4 }
 public enum Direction : ushort { Inbound = 1, Outbound = 2 }
 [System.Flags] public enum Profile : ushort { Any = 0, Domain = 1, Private = 2, Public = 4 }
 public enum Enforcement : ushort { Full = 1, FirewallOffInProfile = 2, DisabledObject = 4, InactiveProfile = 5 }
 public enum Category { Public = 0, Private = 1, DomainAuthenticated = 2 }
 public enum ServiceStatus { Stopped = 1, StartPending = 2, StopPending = 3, Running = 4 }
 public enum StartType { Automatic = 2, Manual = 3, Disabled = 4 }
 public enum NodeState { Unknown = -1, Up = 0, Down = 1, Paused = 2, Joining = 3 }
 public enum Drain { NotInitiated, InProgress, Completed, Failed }
 public enum GroupState { Unknown = -1, Online = 0, Offline = 1, Failed = 2, PartialOnline = 3, Pending = 4 }
 public enum ResourceState { Unknown = -1, Inherited = 0, Initializing = 1, Online = 2, Offline = 3, Failed = 4, Pending = 128, OnlinePending = 129 }
 public enum Role { None, Cluster, Client, ClusterAndClient }
 public enum NetState { Unknown = -1, Unavailable = 0, Failed = 1, Unreachable = 2, Up = 3 }
 public class Named { public string Name { get; set; } public Named(string name) { Name = name; } public override string ToString() { return "an object"; } }
}
"@

# Runspaces of one process load this at once, and a type can be added only once to a process.
$gate = [System.AppDomain]::CurrentDomain
[System.Threading.Monitor]::Enter($gate)
try { if ($null -eq ('StandIns.Named' -as [type])) { Add-Type -TypeDefinition $types -ErrorAction Stop } }
finally { [System.Threading.Monitor]::Exit($gate) }

$quotes = "it's `"x`" " + [char]0x2018 + [char]0x2019 + [char]0x201a + [char]0x201b + [char]0x201e + [char]0x201c + ' `$(1)'

$script:stopped = New-Object System.Collections.ArrayList
$script:asked = 0

function Get-Scene {
    if ($null -eq $env:LK_SCENE -or $env:LK_SCENE -eq '') { return 'many' }
    return $env:LK_SCENE
}

function Write-Scene {
    param([object]$Caller, [object[]]$List, [string]$Id, [switch]$Steady)
    $scene = Get-Scene
    if ($Steady -and $scene -ne 'slow') { $scene = 'many' }
    if ($scene -eq 'none') { return }
    if ($scene -eq 'error') {
        $record = New-Object System.Management.Automation.ErrorRecord (
            (New-Object System.Exception ('Zugriff verweigert ' + [char]0x2013 + ' stand-in')), $Id,
            [System.Management.Automation.ErrorCategory]::PermissionDenied, $null)
        $Caller.WriteError($record)
        return
    }
    if ($scene -eq 'warning') { $Caller.WriteWarning('Der Dienst antwortet langsam') }
    if ($scene -eq 'slow') { Start-Sleep -Seconds 300 }
    if ($scene -eq 'one') { if ($List.Count -gt 0) { $List[0] }; return }
    foreach ($one in $List) { $one }
}

# What $env:LK_SLOW names does not answer.
function Wait-Slow {
    param([string]$Name)
    if (@("$env:LK_SLOW" -split ',') -contains $Name) { Start-Sleep -Seconds 300 }
}

# An adapter that was disabled is off after as many looks as $env:LK_LATE says (WHST-87): its file holds how many are left.
function Get-AdapterStatus {
    param([string]$Name)
    if ("$env:ProgramData" -eq '') { return 'Up' }
    $file = [System.IO.Path]::Combine((Get-Kept -Kind 'off'), $Name)
    if (-not [System.IO.File]::Exists($file)) { return 'Up' }
    $left = [int][System.IO.File]::ReadAllText($file)
    if ($left -le 0) { return 'Disabled' }
    [System.IO.File]::WriteAllText($file, "$($left - 1)")
    return 'Up'
}

function Get-NetAdapter {
    [CmdletBinding()]
    param([switch]$IncludeHidden)
    Write-Scene -Caller $PSCmdlet -Id 'Windows System Error 5' -List @(
        [pscustomobject]@{ Name = 'Ethernet'; ifIndex = [uint32]12; Status = (Get-AdapterStatus -Name 'Ethernet') },
        [pscustomobject]@{ Name = $quotes; ifIndex = [uint32]7; Status = 'Disconnected' })
}

function Get-NetRoute {
    [CmdletBinding()]
    param()
    Write-Scene -Caller $PSCmdlet -Id 'Windows System Error 5' -List @(
        [pscustomobject]@{ InterfaceAlias = 'Ethernet'; DestinationPrefix = '0.0.0.0/0'; NextHop = '10.20.1.1'; RouteMetric = [uint16]0 },
        [pscustomobject]@{ InterfaceAlias = $quotes; DestinationPrefix = 'fe80::/64'; NextHop = '::'; RouteMetric = [uint16]256 })
}

function Get-NetNeighbor {
    [CmdletBinding()]
    param()
    Write-Scene -Caller $PSCmdlet -Id 'Windows System Error 5' -List @(
        [pscustomobject]@{ InterfaceAlias = 'Ethernet'; IPAddress = '10.20.1.1'; LinkLayerAddress = '12-34-56-78-9A-BC'; State = 'Reachable' })
}

function Get-NetIPAddress {
    [CmdletBinding()]
    param()
    Write-Scene -Caller $PSCmdlet -Id 'Windows System Error 5' -List @(
        [pscustomobject]@{ InterfaceAlias = 'Ethernet'; InterfaceIndex = [uint32]12; IPAddress = '10.20.1.11'; PrefixLength = [byte]24; AddressState = [StandIns.AddressState]::Preferred; PrefixOrigin = [StandIns.PrefixOrigin]::Dhcp; SkipAsSource = $false },
        [pscustomobject]@{ InterfaceAlias = 'Ethernet'; InterfaceIndex = [uint32]12; IPAddress = '10.20.1.200'; PrefixLength = [byte]24; AddressState = [StandIns.AddressState]::Duplicate; PrefixOrigin = [StandIns.PrefixOrigin]::Manual; SkipAsSource = $true },
        [pscustomobject]@{ InterfaceAlias = $quotes; InterfaceIndex = [uint32]7; IPAddress = 'fe80::1%7'; PrefixLength = [byte]64; AddressState = [StandIns.AddressState]::Tentative; PrefixOrigin = [StandIns.PrefixOrigin]::WellKnown; SkipAsSource = $false })
}

function Get-NetTCPConnection {
    [CmdletBinding()]
    param([string]$State)
    # The id of a word that nothing was found, and the category of a refusal: that is one.
    Write-Scene -Caller $PSCmdlet -Id 'CmdletizationQuery_NotFound_State' -List @(
        [pscustomobject]@{ LocalAddress = '0.0.0.0'; LocalPort = [uint16]1521; OwningProcess = [uint32]$PID },
        [pscustomobject]@{ LocalAddress = '::'; LocalPort = [uint16]445; OwningProcess = [uint32]999999 })
}

function Get-NetIPInterface {
    [CmdletBinding()]
    param([string]$AddressFamily)
    Write-Scene -Caller $PSCmdlet -Id 'Windows System Error 5' -List @(
        [pscustomobject]@{ InterfaceAlias = 'Ethernet'; InterfaceIndex = [uint32]12; WeakHostSend = [StandIns.Switch]::Enabled; WeakHostReceive = [StandIns.Switch]::Disabled; Forwarding = [StandIns.Switch]::Disabled; Dhcp = [StandIns.Switch]::Enabled; InterfaceMetric = [uint32]15 },
        [pscustomobject]@{ InterfaceAlias = $quotes; InterfaceIndex = [uint32]7; WeakHostSend = [StandIns.Switch]::Disabled; WeakHostReceive = [StandIns.Switch]::Disabled; Forwarding = [StandIns.Switch]::Disabled; Dhcp = [StandIns.Switch]::Disabled; InterfaceMetric = [uint32]25 })
}

function Find-NetRoute {
    [CmdletBinding()]
    param([string]$RemoteIPAddress)
    if ((Get-Scene) -eq 'none') {
        $PSCmdlet.WriteError((New-Object System.Management.Automation.ErrorRecord (
                    (New-Object System.Exception 'Netzwerk nicht erreichbar'), 'Windows System Error 1231',
                    [System.Management.Automation.ErrorCategory]::NotSpecified, $null)))
        return
    }
    $list = @(
        [pscustomobject]@{ IPAddress = '10.20.1.11'; InterfaceAlias = 'Ethernet'; InterfaceIndex = 12 },
        [pscustomobject]@{ DestinationPrefix = '10.20.1.0/24'; NextHop = '0.0.0.0'; InterfaceAlias = 'Ethernet' })
    if ((Get-Scene) -eq 'one') { $list; return }
    Write-Scene -Caller $PSCmdlet -Id 'Windows System Error 87' -List $list
}

function Get-NetFirewallProfile {
    [CmdletBinding()]
    param([string]$PolicyStore)
    Write-Scene -Caller $PSCmdlet -Id 'Windows System Error 5' -List @(
        [pscustomobject]@{ Name = 'Domain'; Enabled = [StandIns.GpoBoolean]::True; DefaultInboundAction = [StandIns.Action]::Block; DefaultOutboundAction = [StandIns.Action]::NotConfigured; AllowInboundRules = [StandIns.GpoBoolean]::NotConfigured; AllowLocalFirewallRules = [StandIns.GpoBoolean]::NotConfigured; DisabledInterfaceAliases = @('NotConfigured') },
        [pscustomobject]@{ Name = 'Private'; Enabled = [StandIns.GpoBoolean]::True; DefaultInboundAction = [StandIns.Action]::NotConfigured; DefaultOutboundAction = [StandIns.Action]::NotConfigured; AllowInboundRules = [StandIns.GpoBoolean]::NotConfigured; AllowLocalFirewallRules = [StandIns.GpoBoolean]::NotConfigured; DisabledInterfaceAliases = @('NotConfigured') },
        [pscustomobject]@{ Name = 'Public'; Enabled = [StandIns.GpoBoolean]::False; DefaultInboundAction = [StandIns.Action]::Allow; DefaultOutboundAction = [StandIns.Action]::NotConfigured; AllowInboundRules = [StandIns.GpoBoolean]::NotConfigured; AllowLocalFirewallRules = [StandIns.GpoBoolean]::NotConfigured; DisabledInterfaceAliases = @('NotConfigured') })
}

function Get-NetConnectionProfile {
    [CmdletBinding()]
    param()
    Write-Scene -Caller $PSCmdlet -Id 'Windows System Error 5' -List @(
        [pscustomobject]@{ InterfaceAlias = 'Ethernet'; InterfaceIndex = [uint32]12; NetworkCategory = [StandIns.Category]::DomainAuthenticated },
        [pscustomobject]@{ InterfaceAlias = $quotes; InterfaceIndex = [uint32]7; NetworkCategory = [StandIns.Category]::Public })
}

function Get-NetFirewallRule {
    [CmdletBinding()]
    param([string]$PolicyStore, [string]$Name)
    if ($Name -ne '') {
        if (-not [System.IO.File]::Exists([System.IO.Path]::Combine((Get-Kept -Kind 'rules'), $Name))) {
            Write-NotFound -Caller $PSCmdlet -Id 'CmdletizationQuery_NotFound_InstanceID'
            return
        }
        $how = [StandIns.Enforcement]::Full
        if ((Get-Scene) -eq 'warning') { $how = [StandIns.Enforcement]::FirewallOffInProfile }
        [pscustomobject]@{ Name = $Name; EnforcementStatus = @($how) }
        return
    }
    Write-Scene -Caller $PSCmdlet -Id 'Windows System Error 5' -List @(
        [pscustomobject]@{ InstanceID = 'r1'; DisplayName = 'Oracle'; Enabled = [StandIns.Enabled]::True; Direction = [StandIns.Direction]::Inbound; Action = [StandIns.Action]::Allow; Profile = ([StandIns.Profile]'Domain, Private'); EnforcementStatus = @([StandIns.Enforcement]::Full); PolicyStoreSourceType = 'Local' },
        [pscustomobject]@{ InstanceID = 'r2'; DisplayName = $quotes; Enabled = [StandIns.Enabled]::True; Direction = [StandIns.Direction]::Inbound; Action = [StandIns.Action]::Block; Profile = [StandIns.Profile]::Any; EnforcementStatus = @([StandIns.Enforcement]::Full); PolicyStoreSourceType = 'Local' },
        [pscustomobject]@{ InstanceID = 'r3'; DisplayName = 'off'; Enabled = [StandIns.Enabled]::False; Direction = [StandIns.Direction]::Inbound; Action = [StandIns.Action]::Allow; Profile = [StandIns.Profile]::Any; EnforcementStatus = @([StandIns.Enforcement]::Full); PolicyStoreSourceType = 'Local' })
}

function Get-NetFirewallPortFilter {
    [CmdletBinding()]
    param([string]$PolicyStore)
    Write-Scene -Caller $PSCmdlet -Id 'Windows System Error 5' -List @(
        [pscustomobject]@{ InstanceID = 'r1'; Protocol = 'TCP'; LocalPort = @('1521', '5000-5010'); RemotePort = 'Any' },
        [pscustomobject]@{ InstanceID = 'r2'; Protocol = 'Any'; LocalPort = 'Any'; RemotePort = 'Any' },
        [pscustomobject]@{ InstanceID = 'r3'; Protocol = 'TCP'; LocalPort = '80'; RemotePort = 'Any' })
}

function Get-NetFirewallAddressFilter {
    [CmdletBinding()]
    param([string]$PolicyStore)
    Write-Scene -Caller $PSCmdlet -Id 'Windows System Error 5' -List @(
        [pscustomobject]@{ InstanceID = 'r1'; LocalAddress = 'Any'; RemoteAddress = @('LocalSubnet', '10.0.0.0/255.0.0.0') },
        [pscustomobject]@{ InstanceID = 'r2'; LocalAddress = 'Any'; RemoteAddress = @('LocalSubnet', '10.0.0.0/255.0.0.0') })
}

function Get-NetFirewallApplicationFilter {
    [CmdletBinding()]
    param([string]$PolicyStore)
    Write-Scene -Caller $PSCmdlet -Id 'Windows System Error 5' -List @(
        [pscustomobject]@{ InstanceID = 'r1'; Program = 'C:\x\it''s.exe' },
        [pscustomobject]@{ InstanceID = 'r2'; Program = 'C:\x\it''s.exe' })
}

function Get-NetFirewallServiceFilter {
    [CmdletBinding()]
    param([string]$PolicyStore)
    Write-Scene -Caller $PSCmdlet -Id 'Windows System Error 5' -List @(
        [pscustomobject]@{ InstanceID = 'r1'; Service = 'Any' },
        [pscustomobject]@{ InstanceID = 'r2'; Service = 'Any' })
}

function Get-NetFirewallInterfaceFilter {
    [CmdletBinding()]
    param([string]$PolicyStore)
    Write-Scene -Caller $PSCmdlet -Id 'Windows System Error 5' -List @(
        [pscustomobject]@{ InstanceID = 'r1'; InterfaceAlias = 'Any' },
        [pscustomobject]@{ InstanceID = 'r2'; InterfaceAlias = 'Any' })
}

function Get-NetFirewallInterfaceTypeFilter {
    [CmdletBinding()]
    param([string]$PolicyStore)
    Write-Scene -Caller $PSCmdlet -Id 'Windows System Error 5' -List @(
        [pscustomobject]@{ InstanceID = 'r1'; InterfaceType = 'Any' },
        [pscustomobject]@{ InstanceID = 'r2'; InterfaceType = 'Any' })
}

function Get-NetFirewallSecurityFilter {
    [CmdletBinding()]
    param([string]$PolicyStore)
    Write-Scene -Caller $PSCmdlet -Id 'Windows System Error 5' -List @(
        [pscustomobject]@{ InstanceID = 'r1'; Authentication = 'NotRequired' },
        [pscustomobject]@{ InstanceID = 'r2'; Authentication = 'NotRequired' })
}

function Get-NetTCPSetting {
    [CmdletBinding()]
    param()
    Write-Scene -Caller $PSCmdlet -Id 'Windows System Error 5' -List @(
        [pscustomobject]@{ SettingName = 'Internet'; DynamicPortRangeStartPort = [uint16]49152; DynamicPortRangeNumberOfPorts = [uint16]16384 },
        [pscustomobject]@{ SettingName = 'Automatic'; DynamicPortRangeStartPort = $null; DynamicPortRangeNumberOfPorts = $null })
}

function Get-Service {
    [CmdletBinding()]
    param([string]$Name)
    if ($script:stopped.Count -gt 0) { $script:asked++ }
    Write-Scene -Caller $PSCmdlet -Id 'CouldNotGetService' -List @(
        [pscustomobject]@{ Name = 'ClusSvc'; Status = [StandIns.ServiceStatus]::Running; StartType = [StandIns.StartType]::Automatic; DependentServices = @() },
        [pscustomobject]@{ Name = 'LifeKeeper'; Status = (Get-LifeKeeperStatus); StartType = [StandIns.StartType]::Automatic; DependentServices = @([pscustomobject]@{ Name = 'LKExt'; Status = [StandIns.ServiceStatus]::Running }, [pscustomobject]@{ Name = 'LKOff'; Status = [StandIns.ServiceStatus]::Stopped }) },
        [pscustomobject]@{ Name = 'LifeKeeperExternalInterfaces'; Status = [StandIns.ServiceStatus]::Running; StartType = [StandIns.StartType]::Automatic; DependentServices = @() },
        [pscustomobject]@{ Name = $quotes; Status = [StandIns.ServiceStatus]::Stopped; StartType = [StandIns.StartType]::Manual; DependentServices = @() })
}

function Get-LifeKeeperStatus {
    if ($script:stopped -contains 'LifeKeeper') {
        if ($script:asked -lt 3) { return [StandIns.ServiceStatus]::StopPending }
        return [StandIns.ServiceStatus]::Stopped
    }
    return [StandIns.ServiceStatus]::Running
}

function Start-Service {
    [CmdletBinding()]
    param([object]$InputObject)
    Write-Scene -Caller $PSCmdlet -Id 'CouldNotStartService' -List @()
}

function Stop-Service {
    [CmdletBinding()]
    param([object]$InputObject, [switch]$Force, [switch]$NoWait)
    [void]$script:stopped.Add($InputObject.Name)
    Write-Scene -Caller $PSCmdlet -Id 'CouldNotStopService' -List @()
}

function Get-WinEvent {
    [CmdletBinding()]
    param([xml]$FilterXml, [int64]$MaxEvents)
    $path = $FilterXml.QueryList.Query.Path
    $select = $FilterXml.QueryList.Query.Select.InnerText
    if ((Get-Scene) -eq 'none') {
        $PSCmdlet.WriteError((New-Object System.Management.Automation.ErrorRecord (
                    (New-Object System.Exception 'Es wurden keine Ereignisse gefunden'), 'NoMatchingEventsFound',
                    [System.Management.Automation.ErrorCategory]::ObjectNotFound, $null)))
        return
    }
    if ($path -eq 'Security') {
        $PSCmdlet.WriteError((New-Object System.Management.Automation.ErrorRecord (
                    (New-Object System.Exception 'Zugriff verweigert'), 'LogInfoUnavailable',
                    [System.Management.Automation.ErrorCategory]::PermissionDenied, $null)))
        return
    }
    $first = New-Object DateTime (2026, 11, 20, 10, 11, 12, 345, [DateTimeKind]::Utc)
    $text = 'Dienst l' + [char]0xe4 + 'uft ' + $quotes + "`r`n" + [char]::ConvertFromUtf32(0x1f4a5)
    Write-Scene -Caller $PSCmdlet -Id 'LogInfoUnavailable' -List @(
        [pscustomobject]@{ TimeCreated = $first.ToLocalTime(); LogName = $path; ProviderName = 'LifeKeeper'; Id = 12; Level = [byte]4; Message = $text; Properties = @(); RecordId = [int64]4711; Query = $select },
        [pscustomobject]@{ TimeCreated = $first.AddSeconds(1).ToLocalTime(); LogName = $path; ProviderName = 'LifeKeeper'; Id = 20; Level = [byte]2; Message = $null; Properties = @([pscustomobject]@{ Value = 'a' }, [pscustomobject]@{ Value = 5 }); RecordId = [int64]4710; Query = $select })
}

function Get-CimInstance {
    [CmdletBinding()]
    param([string]$ClassName, [string]$Filter)
    if ($ClassName -eq 'Win32_Process') {
        $made = New-Object DateTime (2026, 11, 20, 8, 0, 1, 500, [DateTimeKind]::Utc)
        Write-Scene -Caller $PSCmdlet -Id 'HRESULT 0x80070005' -List @(
            [pscustomobject]@{ Name = 'wininit.exe'; ProcessId = [uint32]512; CreationDate = $made.ToLocalTime(); Filter = $Filter })
        return
    }
    if ($ClassName -eq 'Win32_OperatingSystem') {
        $booted = New-Object DateTime (2026, 11, 20, 8, 0, 0, [DateTimeKind]::Utc)
        Write-Scene -Caller $PSCmdlet -Id 'HRESULT 0x80070005' -List @([pscustomobject]@{ LastBootUpTime = $booted.ToLocalTime() })
        return
    }
    $owner = [uint32]4242
    if ("$env:LK_OWNER" -ne '') { $owner = [uint32]$env:LK_OWNER }
    Write-Scene -Caller $PSCmdlet -Id 'HRESULT 0x80070005' -List @(
        [pscustomobject]@{ Name = 'LifeKeeper'; ProcessId = $owner; StartName = 'LocalSystem' },
        [pscustomobject]@{ Name = 'ClusSvc'; ProcessId = [uint32]900; StartName = 'LocalSystem' })
}

function Get-CimClass {
    [CmdletBinding()]
    param([string]$ClassName)
    Write-Scene -Caller $PSCmdlet -Id 'HRESULT 0x80070005' -List @([pscustomobject]@{ CimClassName = $ClassName })
}

function New-CimInstance {
    [CmdletBinding()]
    param([object]$CimClass, [switch]$ClientOnly, [hashtable]$Property)
    [pscustomobject]$Property
}

# Makes a process in a session of its own, as WMI makes it outside of sshd's job.
function Invoke-CimMethod {
    [CmdletBinding()]
    param([string]$ClassName, [string]$MethodName, [hashtable]$Arguments)
    if ($Arguments['ProcessStartupInformation'].CreateFlags -ne 16777216) { return [pscustomobject]@{ ReturnValue = [uint32]21 } }
    $start = New-Object System.Diagnostics.ProcessStartInfo
    $start.FileName = '/bin/sh'
    $start.WorkingDirectory = $Arguments['CurrentDirectory']
    $start.UseShellExecute = $false
    foreach ($word in @('-c', ('exec setsid ' + $Arguments['CommandLine'] + ' </dev/null >/dev/null 2>&1'))) { $start.ArgumentList.Add($word) }
    $made = [System.Diagnostics.Process]::Start($start)
    [pscustomobject]@{ ReturnValue = [uint32]0; ProcessId = [uint32]$made.Id }
}

# The access list of our folder; of one whose name holds "strangers" as %ProgramData% would give it.
function Get-Acl {
    [CmdletBinding()]
    param([string]$LiteralPath)
    $list = 'D:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)'
    if ($LiteralPath -like '*strangers*') { $list = 'D:AI(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIID;0x1200a9;;;BU)' }
    $owner = 'BA'
    if ($LiteralPath -like '*somebody*') { $owner = 'S-1-5-21-1-2-3-1001' }
    [pscustomobject]@{ Sddl = ('O:' + $owner + 'G:DU' + $list) }
}

# What a scheduled task is made of; the settings that matter are demanded.
function New-ScheduledTaskAction {
    [CmdletBinding()]
    param([string]$Execute, [string]$Argument)
    [pscustomobject]@{ Execute = $Execute; Arguments = $Argument }
}

function New-ScheduledTaskTrigger {
    [CmdletBinding()]
    param([switch]$AtStartup)
    if (-not $AtStartup) { throw 'a trigger at boot was expected' }
    [pscustomobject]@{ Boot = $true }
}

function New-ScheduledTaskPrincipal {
    [CmdletBinding()]
    param([string]$UserId, [string]$LogonType, [string]$RunLevel)
    [pscustomobject]@{ UserId = $UserId; LogonType = $LogonType }
}

function New-ScheduledTaskSettingsSet {
    [CmdletBinding()]
    param([switch]$AllowStartIfOnBatteries, [switch]$DontStopIfGoingOnBatteries, [TimeSpan]$ExecutionTimeLimit, [int]$Priority, [string]$MultipleInstances)
    if ($ExecutionTimeLimit -ne [TimeSpan]::Zero -or -not $AllowStartIfOnBatteries -or -not $DontStopIfGoingOnBatteries) { throw 'it would be ended' }
    [pscustomobject]@{ Priority = $Priority; MultipleInstances = $MultipleInstances }
}

function Get-Kept {
    param([string]$Kind)
    $folder = [System.IO.Path]::Combine("$env:ProgramData", $Kind)
    if (-not [System.IO.Directory]::Exists($folder)) { [void][System.IO.Directory]::CreateDirectory($folder) }
    return $folder
}

function Register-ScheduledTask {
    [CmdletBinding()]
    param([string]$TaskName, [object]$Action, [object]$Trigger, [object]$Principal, [object]$Settings, [switch]$Force)
    Wait-Slow -Name 'Register-ScheduledTask'
    if ($Principal.UserId -ne 'S-1-5-18') { throw 'a task of SYSTEM was expected' }
    if ((Get-Scene) -eq 'error') { Write-Scene -Caller $PSCmdlet -Id 'HRESULT 0x80070005' -List @(); return }
    [System.IO.File]::WriteAllText([System.IO.Path]::Combine((Get-Kept -Kind 'tasks'), $TaskName), $Action.Arguments)
    [pscustomobject]@{ TaskName = $TaskName; State = 'Ready' }
}

function Unregister-ScheduledTask {
    [CmdletBinding(SupportsShouldProcess, ConfirmImpact = 'High')]
    param([string]$TaskName)
    if (-not $PSCmdlet.ShouldProcess($TaskName)) { return }
    [System.IO.File]::Delete([System.IO.Path]::Combine((Get-Kept -Kind 'tasks'), $TaskName))
}

# As undo-task.cmd does: its first start says that it is armed, the second one undoes and goes. A task of the scene "none" never begins.
function Start-ScheduledTask {
    [CmdletBinding()]
    param([string]$TaskName)
    if ((Get-Scene) -eq 'none') { return }
    $place = [System.IO.Path]::Combine("$env:ProgramData", 'lkharness', $TaskName.Substring(10))
    $armed = [System.IO.Path]::Combine($place, 'armed')
    if (-not [System.IO.File]::Exists($armed)) { [System.IO.File]::WriteAllText($armed, 'armed'); return }
    foreach ($rule in [System.IO.Directory]::GetFiles((Get-Kept -Kind 'rules'), ($TaskName + '-*'))) { [System.IO.File]::Delete($rule) }
    [System.IO.Directory]::Delete($place, $true)
    [System.IO.File]::Delete([System.IO.Path]::Combine((Get-Kept -Kind 'tasks'), $TaskName))
}

function Write-NotFound {
    param([object]$Caller, [string]$Id)
    $Caller.WriteError((New-Object System.Management.Automation.ErrorRecord (
                (New-Object System.Exception 'Es wurde nichts gefunden'), $Id, [System.Management.Automation.ErrorCategory]::ObjectNotFound, $null)))
}

function Get-ScheduledTask {
    [CmdletBinding()]
    param([string]$TaskName)
    Wait-Slow -Name 'Get-ScheduledTask'
    $found = @([System.IO.Directory]::GetFiles((Get-Kept -Kind 'tasks'), $TaskName))
    if ($found.Count -eq 0 -and -not $TaskName.Contains('*')) { Write-NotFound -Caller $PSCmdlet -Id 'CmdletizationQuery_NotFound_TaskName' }
    foreach ($one in $found) { [pscustomobject]@{ TaskName = [System.IO.Path]::GetFileName($one); State = 'Ready' } }
}

function New-NetFirewallRule {
    [CmdletBinding()]
    param(
        [string]$Name, [string]$DisplayName, [string]$Direction, [string]$Action, [string]$Enabled, [string]$Profile,
        [string[]]$LocalAddress, [string[]]$RemoteAddress, [string]$Protocol, [string]$LocalPort)
    Wait-Slow -Name 'New-NetFirewallRule'
    if ((Get-Scene) -eq 'error') { Write-Scene -Caller $PSCmdlet -Id 'Windows System Error 5' -List @(); return }
    $text = (@($Direction, $Action, $Enabled, $Profile, "$LocalAddress", "$RemoteAddress", $Protocol, $LocalPort) -join '|')
    [System.IO.File]::WriteAllText([System.IO.Path]::Combine((Get-Kept -Kind 'rules'), $Name), $text)
    $ended = [System.IO.Path]::Combine($env:ProgramData, 'undo-ends-with-the-first-rule')
    if ([System.IO.File]::Exists($ended)) {
        [System.IO.File]::WriteAllText([System.IO.Path]::Combine($env:ProgramData, 'lkharness', $DisplayName.Replace('lkharness-', ''), 'now'), 'now')
    }
    [pscustomobject]@{ Name = $Name; DisplayName = $DisplayName }
}

function Remove-NetFirewallRule {
    [CmdletBinding()]
    param([object]$InputObject)
    [System.IO.File]::Delete([System.IO.Path]::Combine((Get-Kept -Kind 'rules'), "$($InputObject.Name)"))
}

function Disable-NetAdapter {
    [CmdletBinding(SupportsShouldProcess, ConfirmImpact = 'High')]
    param([string]$Name)
    if (-not $PSCmdlet.ShouldProcess($Name)) { return }
    Write-Scene -Caller $PSCmdlet -Id 'Windows System Error 5' -List @()
    if ((Get-Scene) -eq 'error') { return }
    $own = [System.Management.Automation.WildcardPattern]::Unescape($Name)
    [System.IO.File]::WriteAllText([System.IO.Path]::Combine((Get-Kept -Kind 'off'), $own), "$([int]$env:LK_LATE)")
    foreach ($place in @([System.IO.Directory]::GetDirectories([System.IO.Path]::Combine($env:ProgramData, 'lkharness')))) {
        if ([System.IO.File]::Exists([System.IO.Path]::Combine($env:ProgramData, 'undo-begins-meanwhile'))) {
            [System.IO.File]::WriteAllText([System.IO.Path]::Combine($place, 'now'), 'now')
        }
    }
}

# One that is not off yet cannot be enabled (WHST-87).
function Enable-NetAdapter {
    [CmdletBinding(SupportsShouldProcess, ConfirmImpact = 'High')]
    param([string]$Name)
    if (-not $PSCmdlet.ShouldProcess($Name)) { return }
    $own = [System.Management.Automation.WildcardPattern]::Unescape($Name)
    $file = [System.IO.Path]::Combine((Get-Kept -Kind 'off'), $own)
    if ([System.IO.File]::Exists($file) -and [int][System.IO.File]::ReadAllText($file) -le 0) { [System.IO.File]::Delete($file); return }
    $PSCmdlet.WriteError((New-Object System.Management.Automation.ErrorRecord (
                (New-Object System.Exception 'Der Adapter ist nicht deaktiviert'), 'Windows System Error 170',
                [System.Management.Automation.ErrorCategory]::InvalidOperation, $null)))
}

function Get-Cluster {
    [CmdletBinding()]
    param()
    [pscustomobject]@{ Name = 'c'; DynamicQuorum = 1; WitnessDynamicWeight = 1; FixQuorum = 0; PreventQuorum = 0; QuarantineThreshold = 3 }
}

function Get-ClusterNode {
    [CmdletBinding()]
    param()
    Write-Scene -Caller $PSCmdlet -Id 'ClusterNotFound' -List @(
        [pscustomobject]@{ Name = 'LKNODE01'; State = [StandIns.NodeState]::Up; DrainStatus = [StandIns.Drain]::NotInitiated; DynamicWeight = 1; NodeWeight = 1; StatusInformation = 'Normal' },
        [pscustomobject]@{ Name = 'LKNODE02'; State = [StandIns.NodeState]::Paused; DrainStatus = [StandIns.Drain]::Completed; DynamicWeight = 0; NodeWeight = 1; StatusInformation = 'DrainCompleted' })
}

function Get-ClusterGroup {
    [CmdletBinding()]
    param()
    Write-Scene -Caller $PSCmdlet -Id 'ClusterNotFound' -List @(
        [pscustomobject]@{ Name = 'role'; OwnerNode = ([StandIns.Named]::new('LKNODE01')); State = [StandIns.GroupState]::Online; FailoverThreshold = [uint32]::MaxValue; FailoverPeriod = [uint32]6 },
        [pscustomobject]@{ Name = $quotes; OwnerNode = ([StandIns.Named]::new('LKNODE02')); State = [StandIns.GroupState]::Pending; FailoverThreshold = [uint32]0 })
}

function Get-ClusterResource {
    [CmdletBinding()]
    param()
    Write-Scene -Caller $PSCmdlet -Id 'Get-ClusterResource' -List @(
        [pscustomobject]@{ Name = 'ip'; OwnerGroup = ([StandIns.Named]::new('role')); OwnerNode = ([StandIns.Named]::new('LKNODE01')); State = [StandIns.ResourceState]::Online; MaintenanceMode = $false; ResourceType = ([StandIns.Named]::new('IP Address')) },
        [pscustomobject]@{ Name = $quotes; OwnerGroup = ([StandIns.Named]::new('role')); OwnerNode = ([StandIns.Named]::new('LKNODE01')); State = [StandIns.ResourceState]::OnlinePending; MaintenanceMode = $true; ResourceType = ([StandIns.Named]::new('SQL Server')) })
}

function Get-ClusterNetwork {
    [CmdletBinding()]
    param()
    Write-Scene -Caller $PSCmdlet -Id 'ClusterNotFound' -List @(
        [pscustomobject]@{ Name = 'Cluster Network 1'; Role = [StandIns.Role]::ClusterAndClient },
        [pscustomobject]@{ Name = $quotes; Role = [StandIns.Role]::None })
}

function Get-ClusterNetworkInterface {
    [CmdletBinding()]
    param()
    Write-Scene -Caller $PSCmdlet -Id 'ClusterNotFound' -List @(
        [pscustomobject]@{ Node = 'LKNODE01'; Network = ([StandIns.Named]::new('Cluster Network 1')); State = [StandIns.NetState]::Up; Address = '10.20.1.11' },
        [pscustomobject]@{ Node = 'LKNODE02'; Network = ([StandIns.Named]::new('Cluster Network 1')); State = [StandIns.NetState]::Unreachable; Address = '10.20.1.12' })
}

function Get-ClusterOwnerNode {
    [CmdletBinding()]
    param([object]$InputObject)
    [pscustomobject]@{ ClusterObject = $InputObject.Name; OwnerNodes = @([StandIns.Named]::new('LKNODE01'), [StandIns.Named]::new('LKNODE02')) }
}

function Get-ClusterQuorum {
    [CmdletBinding()]
    param()
    $witness = $null
    if ((Get-Scene) -ne 'one') { $witness = [pscustomobject]@{ Name = 'Cloud Witness'; State = [StandIns.ResourceState]::Online } }
    [pscustomobject]@{ Cluster = 'c'; QuorumResource = $witness; QuorumType = 'Majority' }
}

function Get-ClusterResourceDependency {
    [CmdletBinding()]
    param([object]$InputObject)
    if ($InputObject.Name -eq 'ip') { [pscustomobject]@{ Resource = 'ip' }; return }
    [pscustomobject]@{ Resource = $InputObject.Name; DependencyExpression = '([ip])' }
}

function Get-ClusterParameter {
    [CmdletBinding()]
    param([object]$InputObject)
    if ($InputObject.Name -ne 'ip') { [pscustomobject]@{ Name = 'PersistentState'; Value = 1 }; return }
    if ($env:LK_PARAMETERS -eq 'error') {
        $PSCmdlet.WriteError((New-Object System.Management.Automation.ErrorRecord (
                    (New-Object System.Exception 'Der Clusterdienst antwortet nicht'), 'Get-ClusterParameter',
                    [System.Management.Automation.ErrorCategory]::ConnectionError, $null)))
        return
    }
    [pscustomobject]@{ Name = 'Address'; Value = '10.20.1.200' }
    [pscustomobject]@{ Name = 'SubnetMask'; Value = '255.255.255.255' }
    [pscustomobject]@{ Name = 'ProbePort'; Value = [uint32]59999 }
}

function Move-ClusterGroup {
    [CmdletBinding()]
    param([object]$InputObject, [string]$Node, [int]$Wait)
    Write-Scene -Caller $PSCmdlet -Id 'Move-ClusterGroup' -List @([pscustomobject]@{ Name = $InputObject.Name; OwnerNode = $Node; State = 'Pending' })
}

function Start-ClusterResource {
    [CmdletBinding()]
    param([object]$InputObject, [int]$Wait)
    Write-Scene -Caller $PSCmdlet -Id 'Start-ClusterResource' -List @([pscustomobject]@{ Name = $InputObject.Name })
}

function Stop-ClusterResource {
    [CmdletBinding()]
    param([object]$InputObject, [int]$Wait)
    Write-Scene -Caller $PSCmdlet -Id 'Stop-ClusterResource' -List @([pscustomobject]@{ Name = $InputObject.Name })
}

Export-ModuleMember -Function @(
    'Disable-NetAdapter',
    'Enable-NetAdapter',
    'Find-NetRoute',
    'Get-Acl',
    'Get-CimClass',
    'Get-CimInstance',
    'Get-Cluster',
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
    'Remove-NetFirewallRule',
    'Start-ClusterResource',
    'Start-ScheduledTask',
    'Start-Service',
    'Stop-ClusterResource',
    'Stop-Service',
    'Unregister-ScheduledTask')
