<#
.SYNOPSIS
What of ours is on this host: undoings that wait or go on, tasks and firewall rules. No row: nothing.
.DESCRIPTION
State is waiting, undoing, failing (it goes on trying), task (a task without its folder) or rule (a firewall rule without its folder).
.PARAMETER Token
Of one undoing; empty: all.
#>
[CmdletBinding()]
param(
    [string]$Token = ''
)
Set-StrictMode -Version Latest
if (-not (Test-Path -LiteralPath 'function:Invoke-Answer')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/answer.ps1') }
if (-not (Test-Path -LiteralPath 'function:Open-OwnFolder')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/own-folder.ps1') }

Invoke-Answer {
    $known = @{}
    $place = Open-OwnFolder
    if ($null -ne $place) {
        foreach ($folder in @([System.IO.Directory]::GetDirectories($place))) {
            $own = [System.IO.Path]::GetFileName($folder)
            $known[$own] = $true
            if ($Token -ne '' -and $own -ne $Token) { continue }
            $state = 'waiting'
            if ([System.IO.File]::Exists([System.IO.Path]::Combine($folder, 'now'))) { $state = 'undoing' }
            if ([System.IO.File]::Exists([System.IO.Path]::Combine($folder, 'failed'))) { $state = 'failing' }
            $of = ''
            # It may go while it is looked at.
            try { $of = [System.IO.File]::ReadAllText([System.IO.Path]::Combine($folder, 'name')) }
            catch [System.IO.IOException] { if (-not [System.IO.Directory]::Exists($folder)) { continue } }
            [ordered]@{ Token = $own; State = $state; Of = $of }
        }
    }
    foreach ($task in @(Find-All { Get-ScheduledTask -TaskName 'lkharness-*' -ErrorAction Stop })) {
        $own = "$(Get-Text -From $task -Name 'TaskName')"
        if (-not $own.StartsWith('lkharness-', [System.StringComparison]::OrdinalIgnoreCase)) { continue }
        $own = $own.Substring(10)
        if ($known.ContainsKey($own)) { continue }
        if ($Token -eq '' -or $own -eq $Token) { [ordered]@{ Token = $own; State = 'task'; Of = '' } }
        $known[$own] = $true
    }
    $key = 'HKLM\SYSTEM\CurrentControlSet\Services\SharedAccess\Parameters\FirewallPolicy\FirewallRules'
    # All of them: a search that finds nothing ends as one that was refused does.
    $said = Invoke-Native -Program 'reg' -Words @('query', $key)
    if ($said.Exit -ne 0) { throw "what firewall rules there are was not told (reg, code $($said.Exit))" }
    foreach ($found in [regex]::Matches($said.Out, '(?m)^\s+lkharness-([0-9a-f]{16})-(in|out)\s')) {
        $own = $found.Groups[1].Value
        if ($known.ContainsKey($own)) { continue }
        if ($Token -eq '' -or $own -eq $Token) { [ordered]@{ Token = $own; State = 'rule'; Of = '' } }
        $known[$own] = $true
    }
}
