<#
.SYNOPSIS
Starts or stops a service.
.DESCRIPTION
A stop takes along what depends on the service, and nothing starts that again (WHST-74). So whoever stops it has asked before what would be
taken along, and names it: where another service that depends on it runs, nothing is done. It waits no longer than the question's limit.
.PARAMETER Name
The short name.
.PARAMETER Action
start or stop.
.PARAMETER Along
The services that a stop may take along.
#>
[CmdletBinding()]
param(
    [Parameter(Mandatory = $true)][string]$Name,
    [Parameter(Mandatory = $true)][ValidateSet('start', 'stop')][string]$Action,
    [AllowEmptyCollection()][string[]]$Along = @()
)
Set-StrictMode -Version Latest
if (-not (Test-Path -LiteralPath 'function:Invoke-Answer')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/answer.ps1') }

Invoke-Answer {
    $service = Read-Service -Name $Name
    if ($null -eq $service) { Write-Missing "there is no service $Name" }
    if ($Action -eq 'start') { Start-Service -InputObject $service -ErrorAction Stop }
    else {
        $others = @(Get-RunningDependents -Service $service | Where-Object { $Along -notcontains $_ })
        if ($others.Count -gt 0) { throw ('nothing was stopped: ' + ($others -join ', ') + ' runs and depends on it') }
        Stop-Service -InputObject $service -Force -NoWait -ErrorAction Stop
        while ($true) {
            $now = Read-Service -Name $Name
            if ($null -eq $now) { Write-Missing "there is no service $Name any longer" }
            if ((Get-Text -From $now -Name 'Status') -eq 'Stopped') { break }
            Start-Sleep -Milliseconds 250
        }
    }
    [ordered]@{ Name = $Name; Action = $Action }
}
