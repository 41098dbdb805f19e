<#
.SYNOPSIS
Every route, and every neighbour that was asked for.
.DESCRIPTION
Rows of kind (K) route and neighbour.
#>
[CmdletBinding()]
param()
Set-StrictMode -Version Latest
if (-not (Test-Path -LiteralPath 'function:Invoke-Answer')) { . (Join-Path -Path $PSScriptRoot -ChildPath '../../engine/answer.ps1') }

Invoke-Answer {
    foreach ($one in @(Find-All { Get-NetRoute -ErrorAction Stop })) {
        [ordered]@{
            K                 = 'route'
            InterfaceAlias    = Get-Text -From $one -Name 'InterfaceAlias'
            DestinationPrefix = Get-Text -From $one -Name 'DestinationPrefix'
            NextHop           = Get-Text -From $one -Name 'NextHop'
            RouteMetric       = Get-Field -From $one -Name 'RouteMetric'
        }
    }
    foreach ($one in @(Find-All { Get-NetNeighbor -ErrorAction Stop })) {
        [ordered]@{
            K                = 'neighbour'
            InterfaceAlias   = Get-Text -From $one -Name 'InterfaceAlias'
            IPAddress        = Get-Text -From $one -Name 'IPAddress'
            LinkLayerAddress = Get-Text -From $one -Name 'LinkLayerAddress'
            State            = Get-Text -From $one -Name 'State'
        }
    }
}
