<#
.SYNOPSIS
Whose process a number is: its name, its start, the services in it, and whether the end of one of these may restart the host.
.DESCRIPTION
Services share processes (WHST-86). A service's failure actions are kept in the registry, in 5 numbers and then 2 for each action, of which
the first is its kind; 2 restarts the computer (WHST-76). Restarts is null where they cannot be read.
.PARAMETER Id
Its number.
#>
[CmdletBinding()]
param(
    [Parameter(Mandatory = $true)][int]$Id
)
Set-StrictMode -Version Latest
if (-not (Test-Path -LiteralPath 'function:Invoke-Answer')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/answer.ps1') }
if (-not (Test-Path -LiteralPath 'function:Open-OwnFolder')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/own-folder.ps1') }

Invoke-Answer {
    $services = New-Object System.Collections.ArrayList
    foreach ($one in @(Get-CimInstance -ClassName Win32_Service -ErrorAction Stop)) {
        $of = Get-Field -From $one -Name 'ProcessId'
        if ($null -ne $of -and [int]$of -eq $Id -and $Id -gt 0) { [void]$services.Add("$(Get-Text -From $one -Name 'Name')") }
    }
    $restarts = $false
    foreach ($name in @($services)) {
        $key = 'HKLM\SYSTEM\CurrentControlSet\Services\' + $name
        # The whole key: a value that is not there ends as one that may not be read does.
        $said = Invoke-Native -Program 'reg' -Words @('query', $key)
        $found = [regex]::Match($said.Out, '(?m)^[ \t]+FailureActions[ \t]+(\S+)[ \t]*([0-9A-Fa-f]*)\s*$')
        $told = $said.Exit -eq 0 -and $said.Whole
        if ($told -and -not $found.Success) { continue }
        $bytes = $found.Groups[2].Value
        # In hexadecimal digits: 20 bytes of head, then 8 for each action.
        $told = $told -and $found.Groups[1].Value -eq 'REG_BINARY' -and $bytes.Length -ge 40 -and $bytes.Length % 16 -eq 8
        if (-not $told -and $restarts -eq $false) { $restarts = $null }
        for ($at = 40; $at + 16 -le $bytes.Length; $at += 16) { if ($bytes.Substring($at, 2) -eq '02') { $restarts = $true } }
    }
    foreach ($process in @(Get-Process -ErrorAction Stop)) {
        if ([int]$process.Id -ne $Id) { continue }
        $at = Get-Field -From $process -Name 'StartTime'
        if ($null -ne $at) { $at = ConvertTo-Moment -Value $at }
        [ordered]@{ Id = $Id; Name = "$($process.ProcessName)"; StartedAt = $at; Services = @($services); Restarts = $restarts }
    }
}
