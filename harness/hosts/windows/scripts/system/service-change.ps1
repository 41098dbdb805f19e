<#
.SYNOPSIS
Starts or stops a service, and tells which services depended on it and ran.
.DESCRIPTION
A stop takes along what depends on the service, and nothing starts that again (WHST-74). It waits no longer than the question's limit.
.PARAMETER Name
The short name.
.PARAMETER Action
start or stop.
#>
[CmdletBinding()]
param(
    [Parameter(Mandatory = $true)][string]$Name,
    [Parameter(Mandatory = $true)][ValidateSet('start', 'stop')][string]$Action
)
Set-StrictMode -Version Latest
if (-not (Test-Path -LiteralPath 'function:Invoke-Answer')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/answer.ps1') }

Invoke-Answer {
    $service = $null
    $problems = @()
    foreach ($one in @(Get-Service -ErrorAction SilentlyContinue -ErrorVariable problems)) { if ("$($one.Name)" -eq $Name) { $service = $one } }
    if ($null -eq $service -and @($problems).Count -gt 0) { throw @($problems)[0] }
    if ($null -eq $service) { Write-Missing "there is no service $Name" }
    $depended = New-Object System.Collections.ArrayList
    foreach ($one in @(Get-Field -From $service -Name 'DependentServices')) {
        if ($null -ne $one -and (Get-Text -From $one -Name 'Status') -eq 'Running') { [void]$depended.Add("$($one.Name)") }
    }
    if ($Action -eq 'start') { Start-Service -InputObject $service -ErrorAction Stop }
    else {
        Stop-Service -InputObject $service -Force -NoWait -ErrorAction Stop
        while ($true) {
            $state = $null
            foreach ($one in @(Get-Service -ErrorAction SilentlyContinue)) { if ("$($one.Name)" -eq $Name) { $state = Get-Text -From $one -Name 'Status' } }
            if ($state -eq 'Stopped') { break }
            if ($null -eq $state) { Write-Missing "there is no service $Name any longer" }
            Start-Sleep -Milliseconds 250
        }
    }
    [ordered]@{ Name = $Name; Action = $Action; Dependents = @($depended) }
}
