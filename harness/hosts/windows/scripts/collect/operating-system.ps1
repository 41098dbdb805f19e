<#
.SYNOPSIS
Which Windows this is, and since when it runs.
#>
[CmdletBinding()]
param()
Set-StrictMode -Version Latest
if (-not (Test-Path -LiteralPath 'function:Invoke-Answer')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/answer.ps1') }

Invoke-Answer {
    foreach ($one in @(Get-CimInstance -ClassName Win32_OperatingSystem -ErrorAction Stop)) {
        $booted = Get-Field -From $one -Name 'LastBootUpTime'
        if ($null -ne $booted) { $booted = ConvertTo-Moment -Value $booted }
        [ordered]@{
            Caption     = Get-Text -From $one -Name 'Caption'
            Version     = Get-Text -From $one -Name 'Version'
            BuildNumber = Get-Text -From $one -Name 'BuildNumber'
            BootedAt    = $booted
        }
    }
}
