<#
.SYNOPSIS
The functions of scripts that keep something on the host: a folder of our own, the lease in it, and times that no clock moves.
.DESCRIPTION
Everybody may make folders in %ProgramData%, own them and read in those that inherit its access list (WHST-103). So ours is made in one
call with an access list of its own, and one that is there counts only with that owner and that list, and where it is no link (WHST-104).
Windows PowerShell 5.1 and PowerShell 7 alike. Needs the functions of answer.ps1.
#>

# Ends the question with an error id of our own.
function Write-Refusal {
    param([Parameter(Mandatory = $true)][string]$Id, [Parameter(Mandatory = $true)][string]$Why)
    throw (New-Object System.Management.Automation.ErrorRecord (
            (New-Object System.Exception $Why), $Id, [System.Management.Automation.ErrorCategory]::PermissionDenied, $null))
}

# Where our folder is, whether it is there or not.
function Get-OwnPlace {
    if ($null -eq $env:ProgramData -or "$env:ProgramData" -eq '') { Write-Missing 'the variable ProgramData is not set there' }
    return [System.IO.Path]::Combine("$env:ProgramData", 'lkharness')
}

# Why a folder is not ours alone; empty when it is. The owner and the access list are read as SDDL, which is the same in every language.
function Get-FolderFault {
    param([Parameter(Mandatory = $true)][string]$Place)
    $attributes = (New-Object System.IO.DirectoryInfo($Place)).Attributes
    if (($attributes -band [System.IO.FileAttributes]::ReparsePoint) -ne 0) { return 'it is a link to another place' }
    $sddl = "$((Get-Acl -LiteralPath $Place -ErrorAction Stop).Sddl)"
    if ($sddl -cnotmatch '^O:(BA|SY)(G:|D:)') { return 'its owner is neither Administrators nor SYSTEM' }
    if ($sddl -cnotmatch '^O:(BA|SY)(G:[^:()]+)?D:P[A-Z]*(\(A;[A-Z]*;FA;;;(SY|BA)\))+(S:.*)?$') {
        return 'its access list is not of its own, or is for others than Administrators and SYSTEM'
    }
    return ''
}

# A folder that only Administrators and SYSTEM get into, from its first moment.
function New-OwnFolder {
    param([Parameter(Mandatory = $true)][string]$Place)
    $security = New-Object System.Security.AccessControl.DirectorySecurity
    $security.SetSecurityDescriptorSddlForm('O:BAG:BAD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)')
    $info = New-Object System.IO.DirectoryInfo($Place)
    # Only an administrator may make Administrators the owner of something.
    try {
        if ($null -ne ('System.IO.FileSystemAclExtensions' -as [type])) { [System.IO.FileSystemAclExtensions]::Create($info, $security) }
        else { $info.Create($security) }
    }
    catch { Write-Refusal -Id 'FolderNotMade' -Why "$Place could not be made for administrators alone: $($_.Exception.GetBaseException().Message)" }
}

# Our folder's path when it is there and ours alone; made where `Make` says so; null where there is none.
function Open-OwnFolder {
    param([switch]$Make)
    $place = Get-OwnPlace
    if (-not [System.IO.Directory]::Exists($place)) {
        if (-not $Make) { return $null }
        New-OwnFolder -Place $place
    }
    $fault = Get-FolderFault -Place $place
    if ($fault -ne '') { Write-Refusal -Id 'FolderNotOurs' -Why "$place is not for administrators alone: $fault; remove it" }
    return $place
}

# Removes our folder where nothing is in it any more.
function Remove-OwnFolder {
    $place = Get-OwnPlace
    try { if (@([System.IO.Directory]::GetFileSystemEntries($place)).Count -eq 0) { [System.IO.Directory]::Delete($place) } }
    catch [System.IO.IOException] { Write-Warning "$place is still there: $($_.Exception.Message)" }
}

# The lease's file, which nobody else can open until it is disposed of (WHST-105); whoever holds it has it for a moment.
function Open-LeaseFile {
    param([switch]$Make)
    $clock = [System.Diagnostics.Stopwatch]::StartNew()
    while ($true) {
        $place = Open-OwnFolder -Make:$Make
        if ($null -eq $place) { return $null }
        $path = [System.IO.Path]::Combine($place, 'lease')
        if (-not $Make -and -not [System.IO.File]::Exists($path)) { return $null }
        $mode = [System.IO.FileMode]::Open
        if ($Make) { $mode = [System.IO.FileMode]::OpenOrCreate }
        try { return (New-Object System.IO.FileStream($path, $mode, [System.IO.FileAccess]::ReadWrite, [System.IO.FileShare]::Delete)) }
        catch {
            if ($clock.Elapsed.TotalSeconds -ge 5) { Write-Refusal -Id 'LeaseBusy' -Why "$path could not be opened: $($_.Exception.Message)" }
        }
        Start-Sleep -Milliseconds 50
    }
}

# What the lease's file says; null where nobody has the lease. A record that is not whole is nobody's to judge but a person's.
function Read-Lease {
    param([Parameter(Mandatory = $true)][System.IO.FileStream]$File)
    $bytes = New-Object byte[] 4096
    [void]$File.Seek(0, [System.IO.SeekOrigin]::Begin)
    $count = $File.Read($bytes, 0, $bytes.Length)
    $text = [System.Text.Encoding]::ASCII.GetString($bytes, 0, $count).Trim([char[]]" `0`r`n")
    if ($text -eq '') { return $null }
    $record = $null
    try { $record = ConvertFrom-Json -InputObject $text }
    catch { $record = $null }
    foreach ($name in @('token', 'holder', 'since', 'until', 'boot')) {
        if ($null -eq $record -or $null -eq $record.PSObject.Properties[$name]) {
            Write-Refusal -Id 'LeaseGarbled' -Why "$($File.Name) cannot be read; remove it when no run has this cluster"
        }
    }
    return $record
}

# Written over the whole record in one piece, so that whoever is ended meanwhile has written all of it or nothing.
function Write-Lease {
    param([Parameter(Mandatory = $true)][System.IO.FileStream]$File, [Parameter(Mandatory = $true)][object]$Record)
    $text = (ConvertTo-AsciiJson -Value $Record)
    if ($text.Length -gt 4095) { Write-Refusal -Id 'LeaseTooLong' -Why 'the holder of the lease has too long a name' }
    $bytes = [System.Text.Encoding]::ASCII.GetBytes($text.PadRight(4095) + "`n")
    [void]$File.Seek(0, [System.IO.SeekOrigin]::Begin)
    $File.Write($bytes, 0, $bytes.Length)
    $File.Flush()
}

# Goes on only where the lease on this host is the asking run's. No token: a host that has none.
function Assert-Lease {
    param([AllowEmptyString()][string]$Token = '')
    if ($Token -eq '') { return }
    $mine = $false
    $file = Open-LeaseFile
    if ($null -ne $file) {
        try {
            $record = Read-Lease -File $file
            $mine = $null -ne $record -and "$($record.token)" -ceq $Token
        }
        finally { $file.Dispose() }
    }
    if (-not $mine) { Write-Refusal -Id 'LeaseLost' -Why 'the lease on this node is not this run''s any more, so nothing was done' }
}

# Seconds that go on by themselves, whatever is done to the clock (WHST-98).
function Get-Ticks {
    return [double][System.Diagnostics.Stopwatch]::GetTimestamp() / [double][System.Diagnostics.Stopwatch]::Frequency
}

# The kernel's own number of this boot, from the page that every process can read (WHST-96); null where that page has none.
function Get-BootNumber {
    if ([Environment]::OSVersion.Platform -ne [System.PlatformID]::Win32NT) { return $null }
    $number = [System.Runtime.InteropServices.Marshal]::ReadInt32([IntPtr]0x7FFE02C4)
    if ($number -eq 0) { return $null }
    return $number
}

# The wall clock, in seconds since 1970: only to tell another host's clock when something was done. On Windows PowerShell it moves in steps
# of 15.6 ms (WNET-92), and is right in the moment of a step: the next one is waited for.
function Get-WallClock {
    $clock = [System.Diagnostics.Stopwatch]::StartNew()
    $first = [DateTime]::UtcNow
    do { $now = [DateTime]::UtcNow } while ($now.Ticks -eq $first.Ticks -and $clock.ElapsedMilliseconds -lt 200)
    return ($now - (New-Object DateTime(1970, 1, 1))).TotalSeconds
}

# The folder of one undoing: of that token, whether it is there or not.
function Get-UndoPlace {
    param([Parameter(Mandatory = $true)][string]$Token)
    if ($Token -cnotmatch '\A[0-9a-f]{16}\z') { Write-Refusal -Id 'BadToken' -Why 'a token is 16 hexadecimal digits' }
    return [System.IO.Path]::Combine((Get-OwnPlace), $Token)
}

# The name of its scheduled task.
function Get-UndoTask {
    param([Parameter(Mandatory = $true)][string]$Token)
    return 'lkharness-' + $Token
}

# Goes on only where the host itself waits to undo what is about to be done.
function Assert-Armed {
    param([Parameter(Mandatory = $true)][string]$Token)
    $place = Get-UndoPlace -Token $Token
    $armed = $null -ne (Open-OwnFolder)
    foreach ($name in @('values', 'armed')) { $armed = $armed -and [System.IO.File]::Exists([System.IO.Path]::Combine($place, $name)) }
    if ($armed -and -not [System.IO.File]::Exists([System.IO.Path]::Combine($place, 'now'))) { return }
    Write-Refusal -Id 'NotArmed' -Why 'this host does not wait to undo it, so nothing was done'
}

# Writes down, beside what undoes it, that something was seen to be done. Raises where nobody waits to undo it any more: its folder is gone.
function Write-UndoMark {
    param([Parameter(Mandatory = $true)][string]$Token, [Parameter(Mandatory = $true)][string]$Name)
    [System.IO.File]::WriteAllText([System.IO.Path]::Combine((Get-UndoPlace -Token $Token), $Name), $Name)
}
