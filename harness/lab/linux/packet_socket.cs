// The packets of a lab's node for the packet capture in C#, by a packet socket of Linux: in the place of receive_all.cs, which is Windows'
// own. As with receive-all, what stays on the loopback interface is not seen. Its arguments name NICs as Windows would: eth0=Ethernet.
namespace LkHarness
{
    using System;
    using System.Collections.Generic;
    using System.IO;
    using System.Runtime.InteropServices;
    using System.Text;

    public sealed class PacketSocket : IPacketSource
    {
        private const int AfPacket = 17, Dgram = 2, SolSocket = 1, ReceiveBufferForce = 33, SolPacket = 263, Statistics = 6, DontWait = 0x40;
        private const int Loopback = 772, Ipv4 = 0x0800, Everything = 3, NetDown = 100, Again = 11, Interrupted = 4, ForOthers = 3, Sent = 4;
        private readonly byte[] data = new byte[65536];
        private readonly Dictionary<int, string> names = new Dictionary<int, string>();
        private readonly Dictionary<string, string> aliases = new Dictionary<string, string>();
        private int socket;

        [DllImport("libc", EntryPoint = "socket", SetLastError = true)] private static extern int Socket(int family, int type, int protocol);
        [DllImport("libc", EntryPoint = "bind", SetLastError = true)] private static extern int Bind(int socket, byte[] address, int length);
        [DllImport("libc", EntryPoint = "setsockopt")] private static extern int SetOption(int socket, int level, int name, ref int value, int length);
        [DllImport("libc", EntryPoint = "getsockopt")] private static extern int GetOption(int socket, int level, int name, byte[] value, ref int length);
        [DllImport("libc", EntryPoint = "recvfrom", SetLastError = true)] private static extern IntPtr ReceiveFrom(int socket, byte[] data, IntPtr size, int flags, byte[] address, ref int length);
        [DllImport("libc", EntryPoint = "poll")] private static extern int Poll(ref PollOne what, IntPtr number, int milliseconds);
        [DllImport("libc", EntryPoint = "if_indextoname")] private static extern IntPtr NameOf(int index, byte[] name);

        [StructLayout(LayoutKind.Sequential)]
        private struct PollOne { public int Descriptor; public short Events, Happened; }

        private long dropped;

        public PacketSocket(string[] names)
        {
            foreach (string one in names) aliases[one.Substring(0, one.IndexOf('='))] = one.Substring(one.IndexOf('=') + 1);
        }

        /// <summary>Reading the kernel's count resets it.</summary>
        public long Dropped
        {
            get
            {
                byte[] counts = new byte[8];
                int length = counts.Length;
                if (GetOption(socket, SolPacket, Statistics, counts, ref length) == 0) dropped += BitConverter.ToUInt32(counts, 4);
                return dropped;
            }
        }

        public string Why { get { return dropped > 0 ? "the kernel dropped " + dropped + " packets before they could be read" : ""; } }

        public void Open(int buffer)
        {
            socket = Socket(AfPacket, Dgram, 0);
            if (socket < 0) throw new IOException("no packet socket: error " + Marshal.GetLastWin32Error());
            SetOption(socket, SolSocket, ReceiveBufferForce, ref buffer, 4);
            byte[] address = new byte[20];
            BitConverter.GetBytes((short)AfPacket).CopyTo(address, 0);
            address[3] = Everything; // in network order; any interface
            if (Bind(socket, address, address.Length) != 0) throw new IOException("packets were refused: error " + Marshal.GetLastWin32Error());
        }

        public void Wait(int milliseconds)
        {
            PollOne one = new PollOne { Descriptor = socket, Events = 1 };
            Poll(ref one, (IntPtr)1, milliseconds);
        }

        public bool Next(out Sighting packet)
        {
            packet = new Sighting();
            byte[] address = new byte[20];
            while (true)
            {
                int length = address.Length;
                int count = (int)ReceiveFrom(socket, data, (IntPtr)data.Length, DontWait, address, ref length);
                if (count < 0)
                {
                    int error = Marshal.GetLastWin32Error();
                    if (error == NetDown || error == Interrupted) continue; // an interface went down; the socket lives on
                    if (error == Again) return false;
                    throw new IOException("packets are no longer to be had: error " + error);
                }
                bool isIpv4 = (address[2] << 8 | address[3]) == Ipv4;
                if (!isIpv4 || BitConverter.ToUInt16(address, 8) == Loopback) continue;
                packet.At = Clocks.Wall();
                packet.Nic = Named(BitConverter.ToInt32(address, 4));
                packet.Kind = address[10] == Sent ? "outgoing" : address[10] == ForOthers ? "otherhost" : "host";
                packet.Data = data;
                packet.Count = count;
                return true;
            }
        }

        private string Named(int index)
        {
            string name, alias;
            if (names.TryGetValue(index, out name)) return name;
            byte[] bytes = new byte[16];
            name = NameOf(index, bytes) == IntPtr.Zero ? index.ToString() : Encoding.ASCII.GetString(bytes).TrimEnd('\0');
            return names[index] = aliases.TryGetValue(name, out alias) ? alias : name;
        }
    }

    public static class OnLinux
    {
        public static int Main(string[] words) { return PacketCapture.Run(Console.OpenStandardInput(), Console.OpenStandardOutput(), new PacketSocket(words)); }
    }
}
