<#
.SYNOPSIS
The functions that every script answers with: one JSON object, in ASCII, on standard output.
.DESCRIPTION
The object has ok (a boolean), error (an id, the same in every language, or null), message (a sentence in the host's language, or null),
missing (what is not there on this host), warnings (sentences) and rows (objects of plain values). An exit code has no meaning.
Windows PowerShell 5.1 and PowerShell 7 alike.
#>

# A property's value, or null where the object has no such property. A list is unrolled: take it with Get-Words.
function Get-Field {
    param([AllowNull()][object]$From, [Parameter(Mandatory = $true)][string]$Name)
    if ($null -eq $From) { return $null }
    $property = $From.PSObject.Properties[$Name]
    if ($null -eq $property) { return $null }
    return $property.Value
}

# A property as text: an enumeration by its name; null where there is none.
function Get-Text {
    param([AllowNull()][object]$From, [Parameter(Mandatory = $true)][string]$Name)
    $value = Get-Field -From $From -Name $Name
    if ($null -eq $value) { return $null }
    return "$value"
}

# A property that holds one value or many, as texts one by one; to be taken as @(Get-Words ...).
function Get-Words {
    param([AllowNull()][object]$From, [Parameter(Mandatory = $true)][string]$Name)
    $value = Get-Field -From $From -Name $Name
    foreach ($one in @($value)) {
        if ($null -ne $one -and "$one" -ne '') { "$one" }
    }
}

# A property that is yes or no: some are numbers on one Windows and booleans on another; null where it is neither.
function Get-Flag {
    param([AllowNull()][object]$From, [Parameter(Mandatory = $true)][string]$Name)
    $value = Get-Field -From $From -Name $Name
    if ($value -is [bool]) { return [bool]$value }
    if ($value -is [System.ValueType] -and $value.GetType().IsPrimitive -and $value -isnot [char]) { return ([double]$value -ne 0) }
    return $null
}

# A property that is a number, where it may be a boolean or an enumeration; null where it is none of these.
function Get-Number {
    param([AllowNull()][object]$From, [Parameter(Mandatory = $true)][string]$Name)
    $value = Get-Field -From $From -Name $Name
    if ($value -is [bool] -or $value -is [enum]) { return [int]$value }
    if ($value -is [System.ValueType] -and $value.GetType().IsPrimitive -and $value -isnot [char]) { return $value }
    return $null
}

# An object's name; the text that it is where it has none.
function Get-Name {
    param([AllowNull()][object]$From)
    if ($null -eq $From) { return $null }
    $own = Get-Text -From $From -Name 'Name'
    if ($null -ne $own) { return $own }
    return "$From"
}

# The name of what a property holds.
function Get-NameOf {
    param([AllowNull()][object]$From, [Parameter(Mandatory = $true)][string]$Name)
    return (Get-Name -From (Get-Field -From $From -Name $Name))
}

# What an event's property holds: of an object or a table with a value, or itself.
function Get-Value {
    param([AllowNull()][object]$From)
    if ($From -is [System.Collections.IDictionary]) { return $From['Value'] }
    if ($null -ne $From -and $null -ne $From.PSObject.Properties['Value']) { return $From.Value }
    return $From
}

# A moment as text: UTC, ISO 8601, in no culture.
function ConvertTo-Moment {
    param([Parameter(Mandatory = $true)][datetime]$Value)
    return $Value.ToUniversalTime().ToString('o', [System.Globalization.CultureInfo]::InvariantCulture)
}

# The id of an error record; its type's name where it has none.
function Get-ErrorId {
    param([Parameter(Mandatory = $true)][object]$Record)
    $id = Get-Text -From $Record -Name 'FullyQualifiedErrorId'
    if ($null -eq $id -or $id -eq '') { $id = $Record.Exception.GetType().Name }
    return $id
}

# Is this error only the word that nothing was found? Cmdlets for networks say that with an error of this id and category (WNET-39).
function Test-NotFound {
    param([Parameter(Mandatory = $true)][object]$Record)
    return (Get-ErrorId -Record $Record) -like 'CmdletizationQuery_NotFound*' -and "$($Record.CategoryInfo.Category)" -eq 'ObjectNotFound'
}

# Runs a query for objects; none is none and no error. To be taken as @(Find-All { ... }).
function Find-All {
    param([Parameter(Mandatory = $true)][scriptblock]$Query)
    try { & $Query }
    catch { if (-not (Test-NotFound -Record $_)) { throw } }
}

# One service by its short name, which is no pattern; null where there is none. What cannot be told of another service is no concern of the
# question: an error counts only where this one was not found.
function Read-Service {
    param([Parameter(Mandatory = $true)][string]$Name)
    $problems = @()
    foreach ($one in @(Get-Service -ErrorAction SilentlyContinue -ErrorVariable problems)) { if ((Get-Text -From $one -Name 'Name') -eq $Name) { return $one } }
    foreach ($problem in @($problems)) { if ($problem -is [System.Management.Automation.ErrorRecord]) { throw $problem } }
    return $null
}

# The names of the services that run and depend on this one, by whatever way.
function Get-RunningDependents {
    param([Parameter(Mandatory = $true)][object]$Service)
    foreach ($one in @(Get-Field -From $Service -Name 'DependentServices')) {
        if ($null -ne $one -and @('Stopped', 'StopPending') -notcontains (Get-Text -From $one -Name 'Status')) { "$(Get-Text -From $one -Name 'Name')" }
    }
}

# The one object of this name among those given: a name of Windows is no pattern, though brackets and stars may be in it.
function Get-OnlyNamed {
    param([AllowEmptyCollection()][object[]]$Among, [Parameter(Mandatory = $true)][string]$Name, [Parameter(Mandatory = $true)][string]$What)
    $found = @(foreach ($one in $Among) { if ((Get-Text -From $one -Name 'Name') -eq $Name) { $one } })
    if ($found.Count -eq 0) { Write-Missing "there is no $What $Name" }
    if ($found.Count -gt 1) { throw "there are $($found.Count) of the name $Name" }
    return $found[0]
}

# Ends the question with the word that something is not there on this host.
function Write-Missing {
    param([Parameter(Mandatory = $true)][string]$What)
    throw (New-Object System.Management.Automation.ErrorRecord (
            (New-Object System.Exception $What), 'Missing', [System.Management.Automation.ErrorCategory]::ObjectNotFound, $What))
}

# One word of a native program's command line, as the C library of Windows reads it: quotes, blanks and the empty word survive.
function ConvertTo-Argument {
    param([AllowEmptyString()][string]$Word)
    if ($Word -ne '' -and $Word -notmatch '[\s"]') { return $Word }
    $inner = $Word -replace '(\\*)"', '$1$1\"'
    $inner = $inner -replace '(\\+)$', '$1$1'
    return '"' + $inner + '"'
}

# Runs a native program with an empty input: its two streams apart, and its exit code as data. It ends with the question.
function Invoke-Native {
    param(
        [Parameter(Mandatory = $true)][string]$Program,
        [AllowEmptyCollection()][AllowEmptyString()][string[]]$Words = @(),
        [string]$Folder = ''
    )
    $start = New-Object System.Diagnostics.ProcessStartInfo
    $start.FileName = $Program
    $start.Arguments = (@(foreach ($word in $Words) { ConvertTo-Argument -Word $word }) -join ' ')
    if ($Folder -ne '') { $start.WorkingDirectory = $Folder }
    $start.UseShellExecute = $false
    $start.CreateNoWindow = $true
    $start.RedirectStandardInput = $true
    $start.RedirectStandardOutput = $true
    $start.RedirectStandardError = $true
    $process = $null
    # What starts a program tells neither which one nor, on .NET Framework, why in words that name it.
    try { $process = [System.Diagnostics.Process]::Start($start) }
    catch { Write-Missing "$Program does not start there ($($_.Exception.GetBaseException().Message))" }
    try {
        $process.StandardInput.Close()
        $out = $process.StandardOutput.ReadToEndAsync()
        $errors = $process.StandardError.ReadToEndAsync()
        while (-not $process.WaitForExit(50)) { }
        # What it left behind may hold the streams open; what it said itself is there by now.
        # A stream that broke is not whole either, and takes the exit code with it as little.
        $said = @{ Exit = $process.ExitCode; Out = ''; Errors = ''; Whole = $true }
        $streams = @{ Out = $out; Errors = $errors }
        foreach ($name in @($streams.Keys)) {
            $read = $streams[$name]
            try { [void]$read.Wait(5000) }
            catch { $said.Whole = $false }
            if ("$($read.Status)" -eq 'RanToCompletion') { $said[$name] = $read.Result } else { $said.Whole = $false }
        }
        return $said
    }
    finally {
        if (-not $process.HasExited) { $process.Kill() }
        $process.Dispose()
    }
}

# Where the jobs are kept that this account has started: a folder of its profile, into which others cannot write.
function Get-JobsFolder {
    $profileOf = [System.Environment]::GetFolderPath('LocalApplicationData')
    if ($profileOf -eq '') { Write-Missing 'the account has no profile, so there is no folder of its own for what must outlive a session' }
    return [System.IO.Path]::Combine($profileOf, 'lkharness-jobs')
}

# How one of LifeKeeper's commands is run: it is a program, or a script for LifeKeeper's own Perl (LKW-02). The folder is Root, else
# %LKROOT%, else C:\LK.
function Find-LifeKeeperProgram {
    param([Parameter(Mandatory = $true)][string]$Command, [AllowEmptyString()][string]$Root = '')
    $place = $Root
    if ($place -eq '' -and $null -ne $env:LKROOT) { $place = "$env:LKROOT" }
    if ($place -eq '') { $place = 'C:\LK' }
    $folder = [System.IO.Path]::Combine($place, 'Bin')
    if (-not [System.IO.Directory]::Exists($folder)) { Write-Missing "LifeKeeper is not installed there: there is no folder $folder" }
    $program = [System.IO.Path]::Combine($folder, $Command + '.exe')
    if ([System.IO.File]::Exists($program)) { return @{ Program = $program; Words = @(); Folder = $folder } }
    if (-not [System.IO.File]::Exists([System.IO.Path]::Combine($folder, $Command))) { Write-Missing "there is no $Command in $folder" }
    $own = [System.IO.Path]::Combine($place, 'perl')
    $program = [System.IO.Path]::Combine($own, 'bin', 'perl.exe')
    if (-not [System.IO.File]::Exists($program)) {
        $perls = @()
        if ([System.IO.Directory]::Exists($own)) { $perls = @(Get-ChildItem -LiteralPath $own -Recurse -Filter 'perl.exe' -ErrorAction Stop) }
        if ($perls.Count -eq 0) { Write-Missing "there is no perl.exe in $own, which $Command needs" }
        $program = "$($perls[0].FullName)"
    }
    return @{ Program = $program; Words = @($Command); Folder = $folder }
}

# A value of which JSON can tell everything. Raises for what lies deeper than any row does, and for what is no plain value.
function ConvertTo-Plain {
    param([AllowNull()][object]$Value, [int]$Depth = 0)
    if ($Depth -gt 4) { throw 'RowTooDeep' }
    if ($null -eq $Value) { return $null }
    if ($Value -is [enum]) { return "$Value" }
    if ($Value -is [string] -or $Value -is [char]) { return $Value.ToString() }
    if ($Value -is [bool]) { return [bool]$Value }
    if ($Value -is [datetime]) { return (ConvertTo-Moment -Value $Value) }
    if ($Value -is [System.Collections.IDictionary]) {
        $plain = New-Object System.Collections.Specialized.OrderedDictionary
        foreach ($key in @($Value.Keys)) { $plain.Add("$key", (ConvertTo-Plain -Value $Value[$key] -Depth ($Depth + 1))) }
        return $plain
    }
    if ($Value -is [System.Collections.IEnumerable]) {
        $list = New-Object System.Collections.ArrayList
        foreach ($one in $Value) { [void]$list.Add((ConvertTo-Plain -Value $one -Depth ($Depth + 1))) }
        return , $list.ToArray()
    }
    if ($Value -is [single] -or $Value -is [double]) {
        if ([double]::IsNaN($Value) -or [double]::IsInfinity($Value)) { return $null }
        return $Value
    }
    if ($Value -is [System.ValueType] -and $Value.GetType().IsPrimitive) { return $Value }
    if ($Value -is [decimal]) { return $Value }
    throw "RowNotPlain"
}

# JSON of which every code page has each character. Each kind of character is replaced once: a script block for every single one would take
# longer than a question may, where events are in Russian or Japanese.
function ConvertTo-AsciiJson {
    param([Parameter(Mandatory = $true)][object]$Value)
    $json = ConvertTo-Json -InputObject $Value -Depth 10 -Compress
    foreach ($one in (New-Object 'System.Collections.Generic.HashSet[char]' (, $json.ToCharArray()))) {
        $code = [int]$one
        if ($code -lt 32 -or $code -gt 126) { $json = $json.Replace([string]$one, '\u' + $code.ToString('x4')) }
    }
    return $json
}

# Asks, and prints the answer. Whatever `Ask` puts out is a row; its warnings are collected; its first error is the answer's.
function Invoke-Answer {
    param([Parameter(Mandatory = $true)][scriptblock]$Ask)
    Set-StrictMode -Version Latest
    $ErrorActionPreference = 'Stop'
    $WarningPreference = 'Continue'
    $ProgressPreference = 'SilentlyContinue'
    $rows = New-Object System.Collections.ArrayList
    $warnings = New-Object System.Collections.ArrayList
    $missing = New-Object System.Collections.ArrayList
    $faults = New-Object System.Collections.ArrayList
    try {
        & $Ask 3>&1 2>&1 4>$null 5>$null 6>$null | ForEach-Object -Process {
            if ($_ -is [System.Management.Automation.WarningRecord]) { [void]$warnings.Add("$($_.Message)") }
            elseif ($_ -is [System.Management.Automation.ErrorRecord]) { [void]$faults.Add($_) }
            elseif ($null -ne $_) { [void]$rows.Add((ConvertTo-Plain -Value $_)) }
        }
    }
    catch { [void]$faults.Insert(0, $_) }
    $id = $null
    $message = $null
    if ($faults.Count -gt 0) {
        $first = $faults[0]
        $id = Get-ErrorId -Record $first
        $message = "$($first.Exception.Message)"
        if ($id -eq 'Missing') { [void]$missing.Add($message) }
        if ($first.Exception -is [System.Management.Automation.CommandNotFoundException]) {
            [void]$missing.Add("$($first.Exception.CommandName)")
        }
    }
    $answer = New-Object System.Collections.Specialized.OrderedDictionary
    $answer.Add('ok', ($faults.Count -eq 0))
    $answer.Add('error', $id)
    $answer.Add('message', $message)
    $answer.Add('missing', $missing.ToArray())
    $answer.Add('warnings', $warnings.ToArray())
    $answer.Add('rows', $rows.ToArray())
    ConvertTo-AsciiJson -Value $answer
}
