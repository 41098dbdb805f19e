<#
.SYNOPSIS
Starts a command that changes something, as a process that outlives this session and that no limit ends.
.DESCRIPTION
What sshd starts ends with its session (WHST-13), and a question ends at its limit; what changes a cluster must end by neither. The process
is made by WMI, out of sshd's job and out of the provider's own (WHST-15, WHST-71). It keeps what comes of it in a folder of its own in the
account's profile, where nobody but the account, SYSTEM and administrators may write. A job of that name that is there already is not
started a second time.
.PARAMETER Name
Of the job: twelve hexadecimal digits.
.PARAMETER Line
What is run, for people.
.PARAMETER Program
Its path.
.PARAMETER Words
Its arguments, as they are.
.PARAMETER Folder
Where it runs; empty: at the root of the drive.
.PARAMETER Runner
The text of engine/job.ps1.
#>
[CmdletBinding()]
param(
    [Parameter(Mandatory = $true)][string]$Name,
    [Parameter(Mandatory = $true)][string]$Line,
    [Parameter(Mandatory = $true)][string]$Program,
    [AllowEmptyCollection()][AllowEmptyString()][string[]]$Words = @(),
    [string]$Folder = '',
    [Parameter(Mandatory = $true)][string]$Runner
)
Set-StrictMode -Version Latest
if (-not (Test-Path -LiteralPath 'function:Invoke-Answer')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/answer.ps1') }

Invoke-Answer {
    if ($Name -cnotmatch '\A[0-9a-f]{12}\z') { throw 'a job is named by twelve hexadecimal digits' }
    $place = [System.IO.Path]::Combine((Get-JobsFolder), $Name)
    $pidFile = [System.IO.Path]::Combine($place, 'pid')
    if ([System.IO.Directory]::Exists($place)) { [ordered]@{ Name = $Name; Again = $true }; return }
    [void][System.IO.Directory]::CreateDirectory($place)
    try {
        $utf8 = New-Object System.Text.UTF8Encoding($false)
        $arguments = (@(foreach ($word in $Words) { ConvertTo-Argument -Word $word }) -join ' ')
        $plan = @(foreach ($one in @($Program, $arguments, $Folder)) { [Convert]::ToBase64String($utf8.GetBytes($one)) })
        [System.IO.File]::WriteAllLines([System.IO.Path]::Combine($place, 'plan'), [string[]]$plan, $utf8)
        [System.IO.File]::WriteAllText([System.IO.Path]::Combine($place, 'line'), $Line, $utf8)
        $shell = [System.Diagnostics.Process]::GetCurrentProcess().MainModule.FileName
        $text = [Convert]::ToBase64String([System.Text.Encoding]::Unicode.GetBytes($Runner))
        $command = (ConvertTo-Argument -Word $shell) + ' -NoLogo -NoProfile -NonInteractive -ExecutionPolicy Bypass -EncodedCommand ' + $text
        $class = Get-CimClass -ClassName Win32_ProcessStartup -ErrorAction Stop
        $how = New-CimInstance -CimClass $class -ClientOnly -Property @{ CreateFlags = [uint32]16777216; ShowWindow = [uint16]0 } -ErrorAction Stop
        $what = @{ CommandLine = $command; CurrentDirectory = $place; ProcessStartupInformation = $how }
        $made = Invoke-CimMethod -ClassName Win32_Process -MethodName Create -Arguments $what -ErrorAction Stop
        $code = Get-Field -From $made -Name 'ReturnValue'
        # What blocks just this tells so in its own log only (WHST-71).
        if ($null -eq $code -or $code -ne 0) {
            throw ("WMI made no process (Win32_Process.Create returned $code); does Defender's rule d1e49aac-8f56-4280-b9ba-993a6d77406c " +
                'forbid what WMI starts there (event 1121 of Windows Defender)?')
        }
        # Until it has said that it runs, it has done nothing; without its folder it ends before it does.
        $waited = [System.Diagnostics.Stopwatch]::StartNew()
        while (-not [System.IO.File]::Exists($pidFile)) {
            if ($waited.ElapsedMilliseconds -gt 60000) { throw 'the process that WMI made has not said within 60 s that it runs' }
            Start-Sleep -Milliseconds 50
        }
    }
    catch {
        if (-not [System.IO.File]::Exists($pidFile)) { [System.IO.Directory]::Delete($place, $true) }
        throw
    }
    [ordered]@{ Name = $Name; Again = $false }
}
