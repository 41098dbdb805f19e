// A part of the measuring agent in C# (see agent.cs): what changes at its host.
namespace LkHarness
{
    using System;
    using System.Collections.Generic;
    using System.Globalization;
    using System.Net;
    using System.Net.NetworkInformation;
    using System.Threading;

    /// <summary>The time between moments, since it was last begun: on the mean, and the longest.</summary>
    public sealed class Intervals
    {
        private double last = -1, first;
        private int count;

        public double Longest { get; private set; }
        public double Length { get { return last - first; } }
        public double Mean { get { return count == 0 ? 0 : Length / count; } }

        public void Add(double at)
        {
            if (last < 0) { last = first = at; return; }
            Longest = Math.Max(Longest, at - last);
            last = at;
            count++;
        }

        public void Begin() { first = last; count = 0; Longest = 0; }
    }

    /// <summary>What changes at the host: its VIP, who listens, and who is connected. What comes and goes between two looks is not seen.</summary>
    public sealed class HostWatch
    {
        private const double LooksEvery = 1; // seconds, at which it tells how often it looked
        private readonly Intervals looks = new Intervals(), looksForVip = new Intervals();
        private const double AddressesEvery = 0.05; // to list NICs costs more than to list connections
        private readonly Action<string, string, string> tell;
        private double addressesAt;
        private readonly string vip;
        private readonly double every;
        private readonly HashSet<int> ports, connections;
        private string heldBy;
        private HashSet<string> listeners, connected = new HashSet<string>();

        public HostWatch(Action<string, string, string> told, string address, double seconds, string listened, string taken)
        {
            tell = told; vip = address == "-" ? "" : address; every = seconds;
            ports = Numbers(listened); connections = Numbers(taken);
        }

        public void Start()
        {
            Thread thread = new Thread(Follow);
            thread.IsBackground = true;
            thread.Start();
        }

        private static HashSet<int> Numbers(string words)
        {
            HashSet<int> found = new HashSet<int>();
            if (words == "-") return found;
            foreach (string one in words.Split(',')) found.Add(int.Parse(one, CultureInfo.InvariantCulture));
            return found;
        }

        /// <summary>A watch that breaks ends itself, says so, and not the measuring.</summary>
        private void Follow()
        {
            try
            {
                while (true)
                {
                    double begun = Clocks.Mono();
                    looks.Add(begun);
                    if (looks.Length >= LooksEvery) TellLooks();
                    Look(begun);
                    double took = Clocks.Mono() - begun; // a system with many connections takes long to list them: a tenth of a processor at most
                    Thread.Sleep(Math.Max(1, (int)(Math.Max(every - took, 9 * took) * 1000)));
                }
            }
            catch (Exception e)
            {
                tell("unwatched", "addresses, listeners and connections can no longer be watched: " + e.GetType().Name + ": " + e.Message, "\"what\":\"host\"");
            }
        }

        private void TellLooks()
        {
            string vipData = vip == "" ? "" : string.Format(CultureInfo.InvariantCulture, ",\"vip_longest\":{0:F4}", looksForVip.Longest);
            tell("looks", "", string.Format(CultureInfo.InvariantCulture, "\"every\":{0:F4},\"longest\":{1:F4}", looks.Mean, looks.Longest) + vipData);
            looks.Begin();
            looksForVip.Begin();
        }

        private void Look(double now)
        {
            IPGlobalProperties system = IPGlobalProperties.GetIPGlobalProperties();
            HashSet<string> heard = new HashSet<string>(), seen = new HashSet<string>();
            foreach (TcpConnectionInformation one in system.GetActiveTcpConnections())
            {
                if (one.State == TcpState.Listen) Add(heard, one.LocalEndPoint); // Mono's; Windows leaves them out
                else if (IsConnected(one.State) && connections.Contains(one.LocalEndPoint.Port)) seen.Add(DataOf(one));
            }
            if (Clocks.OnWindows) foreach (IPEndPoint one in system.GetActiveTcpListeners()) Add(heard, one);
            foreach (string one in seen) if (!connected.Contains(one)) tell("connected", "", one);
            connected = seen;
            TellListeners(heard);
            if (vip == "" || now < addressesAt) return;
            addressesAt = now + AddressesEvery;
            looksForVip.Add(now);
            TellVip();
        }

        private static bool IsConnected(TcpState state)
        {
            return state == TcpState.Established || state == TcpState.SynReceived || state == TcpState.FinWait1 || state == TcpState.FinWait2
                || state == TcpState.CloseWait || state == TcpState.LastAck || state == TcpState.Closing;
        }

        private static string DataOf(TcpConnectionInformation one)
        {
            return string.Format(CultureInfo.InvariantCulture, "\"port\":{0},\"address\":{1},\"peer\":{2},\"peer_port\":{3}",
                one.LocalEndPoint.Port, JsonText.Of(one.LocalEndPoint.Address.ToString()),
                JsonText.Of(one.RemoteEndPoint.Address.ToString()), one.RemoteEndPoint.Port);
        }

        private void Add(HashSet<string> heard, IPEndPoint place)
        {
            if (ports.Contains(place.Port)) heard.Add(place.Port.ToString(CultureInfo.InvariantCulture) + " " + place.Address);
        }

        private void TellListeners(HashSet<string> heard)
        {
            HashSet<string> before = listeners ?? new HashSet<string>();
            string initial = listeners == null ? ",\"initial\":true" : "";
            listeners = heard;
            foreach (string one in heard) if (!before.Contains(one)) Listener("listener-up", one, initial);
            foreach (string one in before) if (!heard.Contains(one)) Listener("listener-down", one, "");
            if (initial == "") return;
            foreach (int port in ports)
            {
                bool any = false;
                foreach (string one in heard) any |= one.StartsWith(port + " ", StringComparison.Ordinal);
                if (!any) tell("listener-down", "nobody listens on " + port, "\"port\":" + port + ",\"address\":\"\"" + initial);
            }
        }

        private void Listener(string kind, string place, string initial)
        {
            string[] words = place.Split(' ');
            tell(kind, words[1] + ":" + words[0], "\"port\":" + words[0] + ",\"address\":" + JsonText.Of(words[1]) + initial);
        }

        private void TellVip()
        {
            List<string> holders = new List<string>();
            foreach (NetworkInterface nic in NetworkInterface.GetAllNetworkInterfaces())
                foreach (UnicastIPAddressInformation one in nic.GetIPProperties().UnicastAddresses)
                    if (one.Address.ToString() == vip && !holders.Contains(nic.Name)) holders.Add(nic.Name);
            string where = string.Join(", ", holders.ToArray());
            bool first = heldBy == null;
            if (!first && (heldBy == "") == (where == "")) return;
            heldBy = where;
            string data = "\"address\":" + JsonText.Of(vip) + ",\"interface\":" + JsonText.Of(where) + (first ? ",\"initial\":true" : "");
            tell(where == "" ? "vip-down" : "vip-up", where, data);
        }
    }
}
