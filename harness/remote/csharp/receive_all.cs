// A part of the packet capture in C# (see capture.cs): raw sockets with receive-all, one for each NIC. Windows' own; never run there.
namespace LkHarness
{
    using System;
    using System.Collections.Generic;
    using System.IO;
    using System.Net;
    using System.Net.NetworkInformation;
    using System.Net.Sockets;

    /// <summary>Which way a packet went. Receive-all does not tell, so its addresses do.</summary>
    public sealed class Directions
    {
        private const double Same = 1.0; // seconds: a SYN that comes back does so at once
        private readonly Dictionary<string, double> left = new Dictionary<string, double>();
        public HashSet<uint> Own = new HashSet<uint>();

        /// <summary>What is for an address of this host came in, also where it claims to come from one (the host's own packet, sent back to
        /// it by the load balancer). A SYN that is seen twice, identical, left and came back.</summary>
        public string Of(byte[] data, int count, string nic, double at)
        {
            if (Own.Contains(Address(data, 16))) return "host";
            if (!Own.Contains(Address(data, 12))) return "otherhost";
            int head = (data[0] & 15) * 4;
            if (data[9] != 6 || count < head + 20 || (data[head + 13] & 0x12) != 2) return "outgoing";
            string key = nic + BitConverter.ToString(data, 4, 2) + BitConverter.ToString(data, 12, 8) + BitConverter.ToString(data, head, 8);
            double before;
            if (left.TryGetValue(key, out before) && at - before < Same) return "host";
            if (left.Count > 4096) left.Clear();
            left[key] = at;
            return "outgoing";
        }

        /// <summary>Is it of this host's at all?</summary>
        public bool Knows(byte[] data) { return Own.Contains(Address(data, 12)) || Own.Contains(Address(data, 16)); }

        public static uint Address(byte[] data, int at)
        {
            return (uint)(data[at] << 24 | data[at + 1] << 16 | data[at + 2] << 8 | data[at + 3]);
        }
    }

    /// <summary>The packets of every NIC that has an address. NICs that come are watched from then on; that some passed before is told.</summary>
    public sealed class ReceiveAll : IPacketSource
    {
        private const int IpLevel = 3; // RCVALL_IPLEVEL: what is this host's, without promiscuous mode
        private const double FollowEvery = 0.25, LookAgain = 0.05;
        private readonly Dictionary<string, Tap> taps = new Dictionary<string, Tap>();
        private readonly Queue<Tap> ready = new Queue<Tap>();
        private readonly Directions directions = new Directions();
        private readonly byte[] data = new byte[65536];
        private int size;
        private double followAt, lookAt;
        private bool begun;

        private sealed class Tap
        {
            public Socket Raw;
            public string Name;
            public IPAddress At;
            public bool Full;
        }

        public long Dropped { get; private set; }
        public string Why { get; private set; }

        public ReceiveAll() { Why = ""; }

        public void Open(int buffer)
        {
            size = buffer;
            if (!Clocks.OnWindows) throw new IOException("receive-all is Windows' own");
            Follow();
            if (taps.Count == 0) throw new IOException(Why == "" ? "no NIC has an address" : Why);
            begun = true;
        }

        public void Wait(int milliseconds)
        {
            if (Clocks.Mono() >= followAt) Follow();
            if (ready.Count > 0) return;
            List<Socket> readable = new List<Socket>();
            foreach (Tap one in taps.Values) readable.Add(one.Raw);
            if (readable.Count == 0) { System.Threading.Thread.Sleep(milliseconds); return; }
            Socket.Select(readable, null, null, milliseconds * 1000);
            foreach (Tap one in taps.Values) if (readable.Contains(one.Raw)) ready.Enqueue(one);
        }

        public bool Next(out Sighting packet)
        {
            packet = new Sighting();
            if (ready.Count == 0) Wait(0);
            while (ready.Count > 0)
            {
                Tap tap = ready.Peek();
                try
                {
                    int waiting = tap.Raw.Available;
                    if (waiting == 0) { ready.Dequeue(); tap.Full = false; continue; }
                    if (waiting > size / 4 * 3 && !tap.Full) // Windows does not tell what it dropped; a buffer that is nearly full may have
                    {
                        tap.Full = true;
                        Lost("the buffer of " + tap.Name + " was nearly full, so that Windows may have dropped packets");
                    }
                    packet.Count = tap.Raw.Receive(data);
                }
                catch (SocketException e) { Ended(tap, e.SocketErrorCode.ToString()); continue; }
                if (packet.Count < 20) continue;
                packet.At = Clocks.Wall();
                packet.Nic = tap.Name;
                packet.Data = data;
                if (data[9] == 6 && !directions.Knows(data) && Clocks.Mono() >= lookAt) // an address that has just come or gone, such as the VIP
                {
                    lookAt = Clocks.Mono() + LookAgain;
                    LookAtOwn(NetworkInterface.GetAllNetworkInterfaces());
                }
                packet.Kind = directions.Of(data, packet.Count, tap.Name, packet.At);
                ready.Enqueue(ready.Dequeue()); // each NIC in its turn
                return true;
            }
            return false;
        }

        private void Lost(string why) { Dropped++; Why = why; }

        private void Ended(Tap tap, string why)
        {
            Tap[] waiting = ready.ToArray();
            ready.Clear();
            foreach (Tap one in waiting) if (one != tap) ready.Enqueue(one);
            foreach (string id in new List<string>(taps.Keys)) if (taps[id] == tap) taps.Remove(id);
            tap.Raw.Close();
            Lost("receive-all on " + tap.Name + " ended: " + why);
        }

        private void LookAtOwn(NetworkInterface[] nics)
        {
            HashSet<uint> own = new HashSet<uint>();
            foreach (NetworkInterface nic in nics) foreach (IPAddress one in AddressesOf(nic)) own.Add(Directions.Address(one.GetAddressBytes(), 0));
            directions.Own = own;
        }

        /// <summary>Watches NICs that have come, lets go of those that went, and of addresses that a socket was bound to and that went.</summary>
        private void Follow()
        {
            followAt = Clocks.Mono() + FollowEvery;
            NetworkInterface[] nics = NetworkInterface.GetAllNetworkInterfaces();
            LookAtOwn(nics);
            HashSet<string> there = new HashSet<string>();
            foreach (NetworkInterface nic in nics)
            {
                if (nic.NetworkInterfaceType == NetworkInterfaceType.Loopback || nic.OperationalStatus != OperationalStatus.Up) continue;
                List<IPAddress> addresses = AddressesOf(nic);
                Tap tap;
                if (addresses.Count == 0) continue;
                there.Add(nic.Id);
                if (taps.TryGetValue(nic.Id, out tap) && addresses.Contains(tap.At)) continue;
                if (tap != null) Ended(tap, tap.At + " is no longer there");
                Watch(nic, addresses[0]);
            }
            foreach (string id in new List<string>(taps.Keys)) if (!there.Contains(id)) Ended(taps[id], "the NIC is no longer up");
        }

        private void Watch(NetworkInterface nic, IPAddress address)
        {
            Socket raw = null;
            try
            {
                raw = new Socket(AddressFamily.InterNetwork, SocketType.Raw, ProtocolType.IP);
                raw.Bind(new IPEndPoint(address, 0));
                raw.ReceiveBufferSize = size;
                raw.IOControl(IOControlCode.ReceiveAll, BitConverter.GetBytes(IpLevel), new byte[4]);
            }
            catch (SocketException e)
            {
                if (raw != null) raw.Close();
                string why = "receive-all on " + nic.Name + " (" + address + ") was refused: " + e.SocketErrorCode + "; it needs an administrator";
                if (!begun) throw new IOException(why);
                Lost(why);
                return;
            }
            if (begun) Lost(nic.Name + " came, and what passed it before it was watched is not known");
            taps[nic.Id] = new Tap { Raw = raw, Name = nic.Name, At = address };
        }

        /// <summary>Those that are for one address only (a VIP's /32, as a rule) come last.</summary>
        private static List<IPAddress> AddressesOf(NetworkInterface nic)
        {
            List<IPAddress> first = new List<IPAddress>(), last = new List<IPAddress>();
            foreach (UnicastIPAddressInformation one in nic.GetIPProperties().UnicastAddresses)
            {
                if (one.Address.AddressFamily != AddressFamily.InterNetwork) continue;
                IPAddress mask = one.IPv4Mask;
                (mask != null && mask.Equals(IPAddress.Broadcast) ? last : first).Add(one.Address);
            }
            first.AddRange(last);
            return first;
        }
    }

    /// <summary>Where PowerShell begins.</summary>
    public static class Program
    {
        public static int Main() { return Run(Console.OpenStandardInput(), Console.OpenStandardOutput()); }

        public static int Run(Stream from, Stream to) { return PacketCapture.Run(from, to, new ReceiveAll()); }
    }
}
