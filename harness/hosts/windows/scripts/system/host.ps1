<#
.SYNOPSIS
Who this host is: names, versions, rights, languages, room for temporary files and, on demand, which boot this is.
.DESCRIPTION
BootId is the kernel's own count of its starts, from the page that every process can read (WHST-96); where that has none, number and moment
of the process that every start makes once. Neither the clock nor the event log moves these. BootedAt, by the count that begins with a boot,
moves when the clock is set: for people only. So where the kernel's count is told, no WMI is asked, which may be refused or hang.
.PARAMETER Boot
Ask for the boot as well.
#>
[CmdletBinding()]
param(
    [switch]$Boot
)
Set-StrictMode -Version Latest
if (-not (Test-Path -LiteralPath 'function:Invoke-Answer')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/answer.ps1') }
if (-not (Test-Path -LiteralPath 'function:Open-OwnFolder')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/own-folder.ps1') }

Invoke-Answer {
    $row = [ordered]@{
        Name         = [System.Net.Dns]::GetHostName()
        Version      = "$($PSVersionTable.PSVersion)"
        LanguageMode = "$($ExecutionContext.SessionState.LanguageMode)"
        UICulture    = "$([System.Globalization.CultureInfo]::CurrentUICulture.Name)"
        CodePage     = [Console]::OutputEncoding.CodePage
        Policy       = $null
        Elevated     = $null
        TempFree     = $null
        BootId       = $null
        BootedAt     = $null
    }
    try { $row['Policy'] = "$(Get-ExecutionPolicy -ErrorAction Stop)" }
    catch { Write-Warning ('the execution policy was not told: ' + (Get-ErrorId -Record $_)) }
    try {
        $identity = [System.Security.Principal.WindowsIdentity]::GetCurrent()
        $principal = New-Object System.Security.Principal.WindowsPrincipal($identity)
        $row['Elevated'] = $principal.IsInRole([System.Security.Principal.WindowsBuiltInRole]::Administrator)
    }
    catch { Write-Warning ('whether the account is an administrator was not told: ' + (Get-ErrorId -Record $_)) }
    try {
        $root = [System.IO.Path]::GetPathRoot([System.IO.Path]::GetTempPath())
        $row['TempFree'] = (New-Object System.IO.DriveInfo($root)).AvailableFreeSpace
    }
    catch { Write-Warning ('the room for temporary files was not told: ' + (Get-ErrorId -Record $_)) }
    if ($Boot) {
        $count = Get-BootNumber
        if ($null -ne $count) { $row['BootId'] = 'boot ' + $count.ToString([System.Globalization.CultureInfo]::InvariantCulture) }
        else {
            foreach ($first in @(Get-CimInstance -ClassName Win32_Process -Filter "Name='wininit.exe'" -ErrorAction Stop)) {
                $made = Get-Field -From $first -Name 'CreationDate'
                if ($null -eq $made) { continue }
                $row['BootId'] = 'wininit ' + (Get-Text -From $first -Name 'ProcessId') + ' of ' + (ConvertTo-Moment -Value $made)
            }
        }
        $row['BootedAt'] = ConvertTo-Moment -Value ([DateTime]::UtcNow.AddSeconds(-(Get-Ticks)))
    }
    $row
}
