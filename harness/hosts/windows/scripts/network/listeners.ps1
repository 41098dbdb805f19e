<#
.SYNOPSIS
Every listening TCP socket, with its process and that one's program.
.DESCRIPTION
The program is a path; System for the kernel's own sockets; null where it is not told, as of a protected process.
#>
[CmdletBinding()]
param()
Set-StrictMode -Version Latest
if (-not (Test-Path -LiteralPath 'function:Invoke-Answer')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/answer.ps1') }

Invoke-Answer {
    $names = @{}
    $programs = @{ 4 = 'System' }
    foreach ($process in @(Get-Process -ErrorAction Stop)) {
        $names[[int]$process.Id] = "$($process.ProcessName)"
        # Of a protected process, or one that has ended meanwhile, the path is not told.
        try { $path = Get-Text -From $process -Name 'Path' }
        catch { $path = $null }
        if ($null -ne $path -and $path -ne '') { $programs[[int]$process.Id] = $path }
    }
    foreach ($socket in @(Find-All { Get-NetTCPConnection -State Listen -ErrorAction Stop })) {
        $owner = Get-Field -From $socket -Name 'OwningProcess'
        $name = $null
        $program = $null
        if ($null -ne $owner) {
            $name = $names[[int]$owner]
            $program = $programs[[int]$owner]
        }
        [ordered]@{
            LocalAddress  = Get-Text -From $socket -Name 'LocalAddress'
            LocalPort     = Get-Field -From $socket -Name 'LocalPort'
            OwningProcess = $owner
            Process       = $name
            Program       = $program
        }
    }
}
