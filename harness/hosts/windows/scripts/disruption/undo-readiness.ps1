<#
.SYNOPSIS
Can this host undo something by itself? Asked beforehand; changes nothing.
.DESCRIPTION
It needs an administrator, the Task Scheduler, Windows' own module for it, and a folder of ours that is nobody else's. Tasks says why tasks
are forbidden, as far as that can be read: by the policies "Prohibit New Task Creation" and "Prevent Task Run or End" [from memory], or
because the scheduler tells of none. What antimalware does to a new task shows only when there is one: then the disruption is not done.
#>
[CmdletBinding()]
param()
Set-StrictMode -Version Latest
if (-not (Test-Path -LiteralPath 'function:Invoke-Answer')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/answer.ps1') }
if (-not (Test-Path -LiteralPath 'function:Open-OwnFolder')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/own-folder.ps1') }

Invoke-Answer {
    $row = [ordered]@{ Administrator = $null; Scheduler = $null; Module = $false; FolderFault = ''; Tasks = '' }
    try {
        $principal = New-Object System.Security.Principal.WindowsPrincipal([System.Security.Principal.WindowsIdentity]::GetCurrent())
        $row['Administrator'] = $principal.IsInRole([System.Security.Principal.WindowsBuiltInRole]::Administrator)
    }
    catch { Write-Warning ('whether the account is an administrator was not told: ' + (Get-ErrorId -Record $_)) }
    try { $row['Scheduler'] = Get-Text -From (Read-Service -Name 'Schedule') -Name 'Status' }
    catch { Write-Warning ('the state of the service Schedule was not told: ' + (Get-ErrorId -Record $_)) }
    $row['Module'] = @(Get-Command -Name 'Register-ScheduledTask' -ErrorAction SilentlyContinue).Count -gt 0
    if ($row['Module']) {
        try { [void]@(Find-All { Get-ScheduledTask -TaskName 'lkharness-*' -ErrorAction Stop }) }
        catch { $row['Tasks'] = 'the Task Scheduler tells of no tasks: ' + (Get-ErrorId -Record $_) }
    }
    $policies = 'HKLM\SOFTWARE\Policies\Microsoft\Windows\Task Scheduler5.0'
    foreach ($name in @('Task Creation', 'Execution')) {
        $said = Invoke-Native -Program 'reg' -Words @('query', $policies, '/v', $name)
        if ($said.Exit -eq 0 -and $said.Out -match '\bREG_DWORD\s+0x0*1\s') { $row['Tasks'] = "a group policy forbids it (Task Scheduler5.0, $name)" }
    }
    $place = Get-OwnPlace
    if ([System.IO.Directory]::Exists($place)) { $row['FolderFault'] = Get-FolderFault -Place $place }
    $row
}
