<#
.SYNOPSIS
A service, or those whose names begin alike: state, start type, what runs and depends on it and, on demand, process and account.
.PARAMETER Name
The short name; no pattern.
.PARAMETER Prefix
All services whose name begins so.
.PARAMETER Detail
Ask WMI for the process and the account as well.
#>
[CmdletBinding()]
param(
    [Parameter(Mandatory = $true)][string]$Name,
    [switch]$Prefix,
    [switch]$Detail
)
Set-StrictMode -Version Latest
if (-not (Test-Path -LiteralPath 'function:Invoke-Answer')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/answer.ps1') }

Invoke-Answer {
    $details = @{}
    if ($Detail) {
        foreach ($one in @(Find-All { Get-CimInstance -ClassName Win32_Service -ErrorAction Stop })) { $details["$(Get-Text -From $one -Name 'Name')"] = $one }
    }
    $problems = @()
    $found = 0
    foreach ($service in @(Get-Service -ErrorAction SilentlyContinue -ErrorVariable problems)) {
        $own = "$(Get-Text -From $service -Name 'Name')"
        $wanted = $own -eq $Name
        if ($Prefix) { $wanted = $own.StartsWith($Name, [System.StringComparison]::OrdinalIgnoreCase) }
        if (-not $wanted) { continue }
        $found++
        $dependents = $null
        try { $dependents = @(Get-RunningDependents -Service $service) }
        catch { Write-Warning ('what depends on ' + $own + ' was not told: ' + (Get-ErrorId -Record $_)) }
        [ordered]@{
            Name       = $own
            Status     = Get-Text -From $service -Name 'Status'
            StartType  = Get-Text -From $service -Name 'StartType'
            Process    = Get-Field -From $details[$own] -Name 'ProcessId'
            Account    = Get-Text -From $details[$own] -Name 'StartName'
            Dependents = $dependents
        }
    }
    # What cannot be told of another service is no concern of this question.
    if ($found -eq 0 -and @($problems).Count -gt 0) { throw @($problems)[0] }
}
