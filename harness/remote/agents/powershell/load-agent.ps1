# Becomes the script that comes by standard input: a line that says how many bytes, and so many of JSON with script and plan. The rest of the
# input is the agent's, so nothing may read ahead.
$i=[Console]::OpenStandardInput();$n=''
while(($c=$i.ReadByte()) -ne 10){if($c -lt 0){exit 45};$n+=[char]$c}
$b=New-Object byte[] ([int]$n);$k=0
while($k -lt $b.Length){$g=$i.Read($b,$k,$b.Length-$k);if($g -le 0){exit 45};$k+=$g}
$d=[Text.Encoding]::UTF8.GetString($b)|ConvertFrom-Json;$plan=$d.plan;. ([ScriptBlock]::Create($d.script))
