<#
.SYNOPSIS
What decides about ports and idle connections: dynamic and excluded port ranges, port proxies, keepalive.
.DESCRIPTION
Rows of kind (K) dynamic, excluded, keepalive and portproxy. Of netsh only lines of two numbers are read, which no language changes; a
keepalive row that is not there stands for Windows' own default.
#>
[CmdletBinding()]
param()
Set-StrictMode -Version Latest
if (-not (Test-Path -LiteralPath 'function:Invoke-Answer')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/answer.ps1') }

Invoke-Answer {
    foreach ($setting in @(Find-All { Get-NetTCPSetting -ErrorAction Stop })) {
        $start = Get-Field -From $setting -Name 'DynamicPortRangeStartPort'
        $count = Get-Field -From $setting -Name 'DynamicPortRangeNumberOfPorts'
        if ($null -ne $start -and $null -ne $count -and [int]$count -gt 0) {
            [ordered]@{ K = 'dynamic'; First = [int]$start; Last = [int]$start + [int]$count - 1; Name = Get-Text -From $setting -Name 'SettingName' }
        }
    }
    $excluded = Invoke-Native -Program 'netsh' -Words @('int', 'ipv4', 'show', 'excludedportrange', 'protocol=tcp')
    if ($excluded.Exit -ne 0) { Write-Warning "netsh did not tell the excluded port ranges (code $($excluded.Exit))" }
    foreach ($line in @($excluded.Out -split '\r?\n')) {
        if ($line -match '^\s*(\d{1,5})\s+(\d{1,5})\s*(\*?)\s*$') {
            [ordered]@{ K = 'excluded'; First = [int]$Matches[1]; Last = [int]$Matches[2]; Name = $Matches[3] }
        }
    }
    $parameters = 'HKLM\SYSTEM\CurrentControlSet\Services\Tcpip\Parameters'
    foreach ($name in @('KeepAliveTime', 'KeepAliveInterval')) {
        $said = Invoke-Native -Program 'reg' -Words @('query', $parameters, '/v', $name)
        if ($said.Exit -eq 0 -and $said.Out -match '\bREG_DWORD\s+0x([0-9a-fA-F]+)') {
            [ordered]@{ K = 'keepalive'; Name = $name; Milliseconds = [Convert]::ToInt64($Matches[1], 16) }
        }
    }
    foreach ($family in @('v4tov4', 'v4tov6', 'v6tov4', 'v6tov6')) {
        $key = 'HKLM\SYSTEM\CurrentControlSet\Services\PortProxy\' + $family + '\tcp'
        $said = Invoke-Native -Program 'reg' -Words @('query', $key)
        if ($said.Exit -ne 0) { continue }
        foreach ($line in @($said.Out -split '\r?\n')) {
            if ($line -match '^\s+(\S+)/(\d{1,5})\s+REG_SZ\s+(\S+)/(\d{1,5})\s*$') {
                [ordered]@{ K = 'portproxy'; Name = $family; ListenAddress = $Matches[1]; ListenPort = [int]$Matches[2]
                    ConnectAddress = $Matches[3]; ConnectPort = [int]$Matches[4] }
            }
        }
    }
}
