// Runs on a Windows host as an administrator: reports the TCP packets that its NICs see, one JSON line each, until its input ends.
//
// C# 5 and .NET Framework 4.5's own library, compiled as agent.cs is. It speaks as harness/remote/scripts/packet_capture.py does, but is told
// what to watch by a first line, `plan FLAGS BUFFER PORTS`: a mask (FIN 1, SYN 2, RST 4) of the TCP packets that are reported, bytes of
// receive buffer, and ports (parted by commas, `-` for none) of which every TCP and UDP packet is reported too. Of a packet its headers
// alone. A line `mark N` is answered when all that was captured before it has been printed, with `dropped`, how often packets were lost,
// `why`, and how many IP packets of any kind were seen to be sent and received: one that never saw a packet come in proves nothing by
// having seen none. A packet is stamped when it is read: neither Windows nor this program tells when it was sent.
namespace LkHarness
{
    using System;
    using System.Collections.Concurrent;
    using System.Collections.Generic;
    using System.Globalization;
    using System.IO;
    using System.Text;
    using System.Threading;

    /// <summary>One packet at one NIC. Kind as the kernel of Linux has it: outgoing, host (to this machine), otherhost.</summary>
    public struct Sighting
    {
        public double At;
        public string Nic, Kind;
        public byte[] Data;
        public int Count;
    }

    /// <summary>Where packets come from. It keeps count of what it is known to have lost.</summary>
    public interface IPacketSource
    {
        long Dropped { get; }
        string Why { get; }

        /// <summary>From here on packets are kept. Throws IOException with the reason.</summary>
        void Open(int buffer);

        /// <summary>Waits at most so long for a packet.</summary>
        void Wait(int milliseconds);

        /// <summary>False when none waits. The data are valid until the next call.</summary>
        bool Next(out Sighting packet);
    }

    /// <summary>The capture: one thread reads what is asked, one captures and prints.</summary>
    public sealed class PacketCapture
    {
        private const int Tcp = 6, Udp = 17;
        private const long SeveralBuffers = 8; // there is one for each NIC
        private readonly IPacketSource source;
        private readonly Stream written;
        private readonly StringBuilder lines = new StringBuilder();
        private readonly ConcurrentQueue<string> marks = new ConcurrentQueue<string>();
        private readonly HashSet<int> ports = new HashSet<int>();
        private volatile bool over;
        private int flags, buffer;
        private long sent, received;

        private PacketCapture(IPacketSource from, Stream to) { source = from; written = to; }

        public static int Run(Stream from, Stream to, IPacketSource source)
        {
            PacketCapture capture = new PacketCapture(source, to);
            StreamReader reader = new StreamReader(from, Encoding.ASCII);
            Clocks.Finer(true);
            Clocks.Prioritised();
            try
            {
                capture.Begin(reader.ReadLine() ?? "");
                Thread asked = new Thread(delegate() { capture.Read(reader); });
                asked.IsBackground = true;
                asked.Start();
                capture.Loop();
                return 0;
            }
            catch (IOException e) { return capture.Broke(e.Message); }
            catch (Exception e) { return capture.Broke(e.GetType().Name + ": " + e.Message); }
            finally { Clocks.Finer(false); }
        }

        private void Begin(string plan)
        {
            string[] words = plan.Trim().Split(' ');
            if (words.Length != 4 || words[0] != "plan") throw new IOException("no plan came");
            flags = int.Parse(words[1], CultureInfo.InvariantCulture);
            if (words[3] != "-") foreach (string one in words[3].Split(',')) ports.Add(int.Parse(one, CultureInfo.InvariantCulture));
            buffer = int.Parse(words[2], CultureInfo.InvariantCulture);
            source.Open(buffer);
            lines.Append("{\"ready\":" + Seconds(Clocks.Wall()) + ",\"host\":" + JsonText.Of(Environment.MachineName) + ",\"loopback\":false}\n");
            Flush();
        }

        private void Read(StreamReader reader)
        {
            try
            {
                for (string line = reader.ReadLine(); line != null; line = reader.ReadLine()) if (line.StartsWith("mark ", StringComparison.Ordinal)) marks.Enqueue(line.Substring(5).Trim());
            }
            catch (IOException) { } // a channel that broke is one that ended
            catch (ObjectDisposedException) { }
            over = true;
        }

        private void Loop()
        {
            while (!over)
            {
                if (marks.IsEmpty) source.Wait(10);
                string mark;
                bool asked = marks.TryDequeue(out mark);
                Drain();
                if (asked)
                {
                    lines.Append("{\"mark\":" + mark + ",\"dropped\":" + source.Dropped + ",\"why\":" + JsonText.Of(source.Why));
                    lines.Append(",\"sent\":" + sent + ",\"received\":" + received + "}\n");
                }
                Flush();
            }
        }

        /// <summary>Takes in what waits: all of it, or, where more and more comes, more than can have waited when it began.</summary>
        private void Drain()
        {
            Sighting packet;
            for (long taken = 0; taken < SeveralBuffers * buffer && source.Next(out packet); taken += packet.Count)
            {
                if (packet.Kind == "outgoing") sent++;
                else if (packet.Kind == "host") received++;
                Report(packet);
                if (lines.Length > 65536) Flush();
            }
        }

        private void Report(Sighting packet)
        {
            byte[] data = packet.Data;
            int kept = Headers(data, packet.Count);
            if (kept == 0) return;
            lines.Append("{\"t\":" + Seconds(packet.At) + ",\"if\":" + JsonText.Of(packet.Nic) + ",\"k\":\"" + packet.Kind + "\",\"raw\":\"");
            for (int i = 0; i < kept; i++) lines.Append(Hex[data[i] >> 4]).Append(Hex[data[i] & 15]);
            lines.Append("\"}\n");
        }

        private const string Hex = "0123456789abcdef";

        /// <summary>How many bytes of a packet are reported, none of what it carries; 0 for one that nobody asked for.</summary>
        private int Headers(byte[] data, int count)
        {
            if (count < 28 || data[0] >> 4 != 4) return 0;
            int head = (data[0] & 15) * 4, protocol = data[9];
            if ((protocol != Tcp && protocol != Udp) || count < head + (protocol == Tcp ? 20 : 8)) return 0;
            if ((data[6] & 0x1F) != 0 || data[7] != 0) return 0; // no first fragment
            bool wanted = protocol == Tcp && (data[head + 13] & flags) != 0;
            if (!wanted && ports.Count > 0) wanted = ports.Contains(data[head] << 8 | data[head + 1]) || ports.Contains(data[head + 2] << 8 | data[head + 3]);
            return !wanted ? 0 : Math.Min(count, head + (protocol == Tcp ? (data[head + 12] >> 4) * 4 : 8));
        }

        private static string Seconds(double at) { return at.ToString("F6", CultureInfo.InvariantCulture); }

        private void Flush()
        {
            if (lines.Length == 0) return;
            byte[] data = Encoding.ASCII.GetBytes(lines.ToString());
            lines.Length = 0;
            try { written.Write(data, 0, data.Length); written.Flush(); }
            catch (IOException) { over = true; } // nobody reads it any more
        }

        private int Broke(string why)
        {
            lines.Append("{\"error\":" + JsonText.Of("cannot capture packets: " + why) + "}\n");
            Flush();
            return 0;
        }
    }
}
