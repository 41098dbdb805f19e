<#
.SYNOPSIS
Who this host is: names, versions, rights, languages, room for temporary files and, on demand, which boot this is.
.DESCRIPTION
BootId is the number of the event that records the start (WHST-100); LastBootUpTime moves when the clock is set (WHST-97) and stands in
BootedAt only where that event is not to be had.
.PARAMETER Boot
Ask for the boot as well.
#>
[CmdletBinding()]
param(
    [switch]$Boot
)
Set-StrictMode -Version Latest
if (-not (Test-Path -LiteralPath 'function:Invoke-Answer')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/answer.ps1') }

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
        $select = "*[System[Provider[@Name='Microsoft-Windows-Kernel-General'] and EventID=12]]"
        $query = [xml]('<QueryList><Query Id="0" Path="System"><Select Path="System">' + $select + '</Select></Query></QueryList>')
        $started = @()
        try { $started = @(Get-WinEvent -FilterXml $query -MaxEvents 1 -ErrorAction Stop) }
        catch { Write-Warning ('the record of the start was not told: ' + (Get-ErrorId -Record $_)) }
        if ($started.Count -gt 0 -and $null -ne (Get-Field -From $started[0] -Name 'RecordId')) {
            $row['BootId'] = 'event ' + (Get-Text -From $started[0] -Name 'RecordId')
            if ($null -ne (Get-Field -From $started[0] -Name 'TimeCreated')) { $row['BootedAt'] = ConvertTo-Moment -Value $started[0].TimeCreated }
        }
        else {
            $booted = @(Get-CimInstance -ClassName Win32_OperatingSystem -ErrorAction Stop)
            $row['BootedAt'] = ConvertTo-Moment -Value $booted[0].LastBootUpTime
        }
    }
    $row
}
