# Compiles the C# that comes by standard input and runs it: a line that says how many bytes, and so many of source. The rest of the input is
# the program's, so nothing may read ahead. Add-Type finds System.dll and mscorlib by itself; where nothing may be compiled, the code is 46.
$ErrorActionPreference='Stop';$i=[Console]::OpenStandardInput();$n=''
while(($c=$i.ReadByte()) -ne 10){if($c -lt 0){exit 45};$n+=[char]$c}
$b=New-Object byte[] ([int]$n);$k=0
while($k -lt $b.Length){$g=$i.Read($b,$k,$b.Length-$k);if($g -le 0){exit 45};$k+=$g}
try{Add-Type -TypeDefinition ([Text.Encoding]::UTF8.GetString($b))}
catch{[Console]::Out.Write("no compiler: $($_.Exception.Message)`n");exit 46}
exit [LkHarness.Program]::Run($i,[Console]::OpenStandardOutput())
