<#
.SYNOPSIS
Is something that was done to this host still so? Whether the firewall enforces rules of a name, or whether an adapter is off.
.DESCRIPTION
Rules are read as they are in force (WNET-34); an adapter counts as back when its address is usable again.
.PARAMETER Kind
firewall or nic.
.PARAMETER Rule
The rules' name.
.PARAMETER Nic
The adapter's name.
.PARAMETER Address
Its address.
#>
[CmdletBinding()]
param(
    [Parameter(Mandatory = $true)][ValidateSet('firewall', 'nic')][string]$Kind,
    [string]$Rule = '',
    [string]$Nic = '',
    [string]$Address = ''
)
Set-StrictMode -Version Latest
if (-not (Test-Path -LiteralPath 'function:Invoke-Answer')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/answer.ps1') }
if (-not (Test-Path -LiteralPath 'function:Open-OwnFolder')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/own-folder.ps1') }

Invoke-Answer {
    $row = [ordered]@{ There = $false; InForce = $false; Why = '' }
    if ($Kind -eq 'firewall') {
        $stated = @()
        foreach ($name in @(($Rule + '-in'), ($Rule + '-out'))) {
            foreach ($one in @(Find-All { Get-NetFirewallRule -PolicyStore ActiveStore -Name $name -ErrorAction Stop })) {
                $row['There'] = $true
                $stated += @(Get-Words -From $one -Name 'EnforcementStatus')
            }
        }
        $other = @(foreach ($word in $stated) { if ($word -ne 'Full' -and $word -ne '1') { $word } })
        $row['InForce'] = $row['There'] -and $stated.Count -gt 0 -and $other.Count -eq 0
        $row['Why'] = ($other -join ', ')
    }
    else {
        $state = ''
        foreach ($one in @(Get-NetAdapter -IncludeHidden -ErrorAction Stop)) {
            if ((Get-Text -From $one -Name 'Name') -eq $Nic) { $state = "$(Get-Text -From $one -Name 'Status')" }
        }
        $usable = $false
        foreach ($one in @(Get-NetIPAddress -ErrorAction Stop)) {
            $told = Get-Text -From $one -Name 'AddressState'
            if ((Get-Text -From $one -Name 'IPAddress') -eq $Address -and ($told -eq 'Preferred' -or $told -eq 'Deprecated')) { $usable = $true }
        }
        $row['InForce'] = $state -eq 'Disabled'
        $row['There'] = $row['InForce'] -or -not $usable
        $row['Why'] = $state
    }
    $row
}
