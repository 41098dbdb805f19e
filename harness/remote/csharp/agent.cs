// Runs on a Windows host without Python: measures new and established TCP connections open-loop, at 10 ms, and prints what it sees.
//
// C# 5 and .NET Framework 4.5's own library (System.dll and mscorlib.dll), so that Windows PowerShell 5.1 compiles it by Add-Type; the
// same text is compiled and run on Mono. Its parts are sent as one (csharp_program.py). PowerShell calls LkHarness.Program.Run(), Mono
// starts Main.
// Its input, one line each, words parted by blanks, `-` for an empty one:
//   track ID DESTINATION PORT KIND PERIOD LIMIT HTTP SAY EXPECT AGAIN    ID, SAY, EXPECT and AGAIN in base64, KIND new or pinned, HTTP 0 or 1
//   lifetime SECONDS / max_open NUMBER / watch VIP SECONDS PORTS CONNECTIONS / begin
// and after that `ping N`, answered with `p N MONOTONIC WALL`; `renew`; `stop`. It ends with its input, on `stop`, or after its lifetime.
// Its output, times in microseconds since t0, as harness/remote/scripts/agent.py has them:
//   h running; a {header}; s SERIES AT TOOK OUTCOME PORT DETAIL; n AT TICKS LATE WORST STEAL LOAD; v {event}; e {end}; x
// Steal and load are not known here: -1. With `watch`, looked at every so many seconds, or as often as it can be borne: vip-up and vip-down,
// listener-up and listener-down on PORTS, and `connected` for who came to CONNECTIONS (both parted by commas); `looks` tells each
// second how often it was looked at.
namespace LkHarness
{
    using System;
    using System.Collections.Concurrent;
    using System.Collections.Generic;
    using System.Diagnostics;
    using System.Globalization;
    using System.IO;
    using System.Net;
    using System.Net.Sockets;
    using System.Text;
    using System.Text.RegularExpressions;
    using System.Threading;

    /// <summary>Everything that one process measures, in one loop; one thread reads what is asked, one writes what was seen.</summary>
    public sealed class Agent
    {
        private const int InitialRto = -1744830447; // SIO_TCP_INITIAL_RTO
        private const long MaxQueued = 64L * 1024 * 1024;
        // From this build on a connection can be made without a second SYN (254); before it the least is one, and 254 may be taken for a
        // number, so that no refusal would be told in time (WNET-60).
        private const int KnowsNone = 16299;
        private static readonly bool AsksAgain = Clocks.OnWindows && Environment.OSVersion.Version.Build < KnowsNone;
        private static readonly byte[] LeastRetransmissions = { 255, 255, (byte)(AsksAgain ? 1 : 254), 0 };

        public readonly byte[] Buffer = new byte[4096];
        public int MaxOpen = 500, Sockets;

        private readonly List<Track> tracks = new List<Track>();
        private readonly ConcurrentQueue<string> orders = new ConcurrentQueue<string>();
        private readonly BlockingCollection<string> output = new BlockingCollection<string>();
        private readonly StringBuilder lines = new StringBuilder();
        private readonly Stream written;
        private double t0, lifetime = 3600;
        private long queued, samples, ticks, late;
        private double worst;
        private bool atOnce = Clocks.OnWindows, counts;
        private string inputEnded;
        private HostWatch watch;

        private Agent(Stream to) { written = to; }

        /// <summary>From the first line of its input to the last of its output.</summary>
        public static int Run(Stream from, Stream to)
        {
            Agent agent = new Agent(to);
            StreamReader reader = new StreamReader(from, Encoding.ASCII);
            try { if (!agent.Plan(reader)) return 2; }
            catch (Exception e) { Console.Error.WriteLine("no plan: " + e.GetType().Name + ": " + e.Message); return 2; }
            Thread writer = new Thread(delegate() { agent.Guarded("output", agent.Write); });
            writer.IsBackground = true;
            writer.Start();
            Thread asked = new Thread(delegate() { agent.Guarded("input", delegate() { agent.Read(reader); }); });
            asked.IsBackground = true;
            string timer = Clocks.Finer(true);
            try
            {
                Clocks.Prioritised();
                string cold = agent.Warm();
                agent.t0 = Clocks.Mono();
                agent.counts = true;
                agent.Header(timer);
                if (cold != "") agent.Event("no-warm-up", cold, "");
                if (AsksAgain) agent.Event("asks-again", "this Windows knows no connection without a second SYN: a refusal is told some half a second later", "");
                asked.Start();
                if (agent.watch != null) agent.watch.Start();
                agent.Loop();
            }
            catch (Exception e) { agent.Finish("it broke: " + e.GetType().Name + ": " + e.Message, true); }
            finally { Clocks.Finer(false); }
            agent.output.CompleteAdding();
            writer.Join(5000);
            return 0;
        }

        /// <summary>What a thread beside the loop throws would end the whole process, PowerShell with it: it ends the measuring, with its reason.</summary>
        private void Guarded(string what, ThreadStart work)
        {
            try { work(); }
            catch (Exception e) { inputEnded = "its " + what + " broke: " + e.GetType().Name + ": " + e.Message; }
        }

        // --- its input

        /// <summary>False where no plan came.</summary>
        private bool Plan(StreamReader reader)
        {
            for (string line = reader.ReadLine(); line != null; line = reader.ReadLine())
            {
                string[] words = line.Trim().Split(' ');
                if (words[0] == "begin") return true;
                if (words[0] == "lifetime") lifetime = Number(words[1]);
                if (words[0] == "max_open") MaxOpen = (int)Number(words[1]);
                if (words[0] == "watch") watch = new HostWatch(Event, words[1], Number(words[2]), words[3], words[4]);
                if (words[0] == "track") tracks.Add(TrackOf(words));
            }
            return false;
        }

        private Track TrackOf(string[] words)
        {
            Track t = new Track(this);
            t.Number = tracks.Count;
            t.Id = Encoding.UTF8.GetString(Bytes(words[1]));
            t.Target = new IPEndPoint(IPAddress.Parse(words[2]), (int)Number(words[3]));
            t.IsPinned = words[4] == "pinned";
            t.Period = Number(words[5]);
            t.Limit = Number(words[6]);
            t.IsHttp = words[7] == "1";
            t.Say = Bytes(words[8]);
            t.Expect = Pattern(words[9]);
            t.Again = Pattern(words[10]);
            return t;
        }

        private static byte[] Bytes(string word) { return word == "-" ? new byte[0] : Convert.FromBase64String(word); }

        private static Regex Pattern(string word)
        {
            return word == "-" ? null : new Regex(Encoding.GetEncoding(28591).GetString(Bytes(word)), RegexOptions.CultureInvariant);
        }

        private static double Number(string word) { return double.Parse(word, CultureInfo.InvariantCulture); }

        /// <summary>A ping is answered here, in the moment in which it comes.</summary>
        private void Read(StreamReader reader)
        {
            for (string line = reader.ReadLine(); line != null; line = reader.ReadLine())
            {
                if (line.StartsWith("ping ", StringComparison.Ordinal))
                {
                    double mono = Clocks.Mono(), wall = Clocks.Wall();
                    Queue(string.Format(CultureInfo.InvariantCulture, "p {0} {1:F9} {2:F9}\n", line.Substring(5).Trim(), mono, wall));
                }
                else orders.Enqueue(line.Trim());
            }
            inputEnded = "its input ended";
        }

        // --- its output

        private void Queue(string text)
        {
            Interlocked.Add(ref queued, text.Length);
            try { output.Add(text); } catch (InvalidOperationException) { return; } // its end was told already
        }

        private void Write()
        {
            foreach (string text in output.GetConsumingEnumerable())
            {
                byte[] data = Encoding.UTF8.GetBytes(text);
                try { written.Write(data, 0, data.Length); written.Flush(); }
                catch (IOException) { inputEnded = "its output ended"; return; }
                Interlocked.Add(ref queued, -text.Length);
            }
        }

        private static long Us(double seconds) { return (long)Math.Round(seconds * 1e6); }

        public void Sample(int track, double at, double took, char outcome, int port, string detail)
        {
            if (!counts) return;
            lines.Append("s ").Append(track).Append(' ').Append(Us(at - t0)).Append(' ').Append(Us(took)).Append(' ').Append(outcome);
            lines.Append(' ').Append(port).Append(' ').Append(detail.Replace('\n', ' ').Replace('\r', ' ')).Append('\n');
            samples++;
        }

        private void Event(string kind, string text, string data)
        {
            string told = "v {\"at\":" + Us(Clocks.Mono() - t0) + ",\"kind\":" + JsonText.Of(kind) + ",\"text\":" + JsonText.Of(text) + ",\"data\":{" + data + "}}\n";
            Queue(told);
        }

        private void Header(string timer)
        {
            List<string> ids = new List<string>();
            foreach (Track t in tracks) ids.Add(JsonText.Of(t.Id));
            Queue("h running\n" + string.Format(CultureInfo.InvariantCulture, "a {{\"t0\":{0:F9},\"wall\":{1:F9},\"pid\":{2},\"timer\":{3},\"series\":[{4}]}}\n",
                t0, Clocks.Wall() - (Clocks.Mono() - t0), Process.GetCurrentProcess().Id, JsonText.Of(timer), string.Join(",", ids.ToArray())));
        }

        private void Finish(string reason, bool final)
        {
            foreach (Track t in tracks)
            {
                foreach (Attempt a in t.Open) Close(a);
                if (t.Line != null) Close(t.Line);
            }
            lines.Append("e {\"at\":" + Us(Clocks.Mono() - t0) + ",\"reason\":" + JsonText.Of(reason) + ",\"final\":" + (final ? "true" : "false") + ",\"samples\":" + samples + "}\nx\n");
            Queue(lines.ToString());
            lines.Length = 0;
        }

        // --- its loop

        /// <summary>Why what follows is not warmed up; "" where it is. A host may forbid connections to itself, and be measured all the same.</summary>
        private string Warm()
        {
            List<Socket> made = new List<Socket>();
            try { WarmUp(made); return ""; }
            catch (SocketException e) { return "connections to this host itself failed: " + e.SocketErrorCode; }
            finally
            {
                foreach (Socket one in made) one.Close();
                Sockets = 0; lines.Length = 0; ticks = late = 0; worst = 0; samples = 0;
            }
        }

        /// <summary>Whatever the loop does is compiled at its first use, which costs up to 30 ms: so it is done before it counts.</summary>
        private void WarmUp(List<Socket> made)
        {
            Socket listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            made.Add(listener);
            listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
            listener.Listen(64);
            int port = ((IPEndPoint)listener.LocalEndPoint).Port;
            foreach (string kind in new[] { "new", "pinned" })
            {
                Track t = TrackOf(("track - 127.0.0.1 " + port + " " + kind + " 0.01 0.05 0 eA== eHg= eHk=").Split(' '));
                for (int i = 0; i < 8; i++)
                {
                    t.Tick();
                    Look(new List<Track> { t }, 0.005);
                    if (i < 4 && listener.Poll(20000, SelectMode.SelectRead))
                    {
                        using (Socket peer = listener.Accept())
                        {
                            SocketError code; // a reset by the other end, which has given up by then, is no concern here
                            if (i % 2 == 0) peer.Send(new[] { (byte)'x' }, 0, 1, SocketFlags.None, out code);
                            Look(new List<Track> { t }, 0.005);
                        }
                    }
                    Look(new List<Track> { t }, 0.005);
                    t.Expire(Clocks.Mono());
                }
                t.Renew();
                t.Expire(Clocks.Mono() + 10);
                foreach (Attempt a in t.Open) Close(a);
                if (t.Line != null) Close(t.Line);
            }
            listener.Close();
            Track.Words("x"); Track.HttpEnd("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"); JsonText.Of("x"); Clocks.Wall();
            Noise(Clocks.Mono());
            GC.Collect();
        }

        private void Loop()
        {
            double now = Clocks.Mono(), flush = now + 0.05, tell = now + 1;
            for (int i = 0; i < tracks.Count; i++) tracks[i].First = tracks[i].Next = now + tracks[i].Period * i / tracks.Count;
            string reason = null;
            while (reason == null)
            {
                double due = Math.Min(flush, tell);
                foreach (Track t in tracks) due = Math.Min(due, t.Next);
                Look(tracks, due - Clocks.Mono());
                now = Clocks.Mono();
                foreach (Track t in tracks)
                {
                    t.Expire(now);
                    if (now >= t.Next) { Account(t, now); t.Tick(); }
                }
                if (now >= tell) { Noise(now); tell += 1; }
                if (now < flush) continue;
                flush = now + 0.05;
                Queue(lines.ToString());
                lines.Length = 0;
                reason = Ordered(now);
            }
            Finish(reason, reason != inputEnded);
        }

        private string Ordered(double now)
        {
            string order;
            while (orders.TryDequeue(out order))
            {
                if (order == "stop") return "it was asked to stop";
                if (order == "renew") foreach (Track t in tracks) t.Renew();
            }
            if (now - t0 >= lifetime) return "its lifetime is over";
            if (Interlocked.Read(ref queued) > MaxQueued) return "nobody reads what it saw";
            return inputEnded;
        }

        /// <summary>The tick that is due, and those before it that nobody attended to: they are not made up, because all would measure one moment.</summary>
        private void Account(Track t, double now)
        {
            double behind = now - t.Next;
            long missed = (long)(behind / t.Period);
            t.Count += missed + 1;
            t.Next = t.First + t.Count * t.Period;
            ticks += missed + 1;
            late += missed + (behind - missed * t.Period > Math.Max(0.002, t.Period / 2) ? 1 : 0);
            worst = Math.Max(worst, behind);
        }

        private void Noise(double now)
        {
            lines.Append("n ").Append(Us(now - t0)).Append(' ').Append(ticks).Append(' ').Append(late).Append(' ').Append(Us(worst)).Append(" -1 -1\n");
            ticks = late = 0; worst = 0;
        }

        private readonly List<Socket> readable = new List<Socket>(), writable = new List<Socket>(), broken = new List<Socket>();
        private readonly Dictionary<Socket, KeyValuePair<Track, Attempt>> owners = new Dictionary<Socket, KeyValuePair<Track, Attempt>>();

        /// <summary>Waits at most so many seconds for a socket to have something, and deals with those that have.</summary>
        private void Look(List<Track> of, double seconds)
        {
            readable.Clear(); writable.Clear(); broken.Clear(); owners.Clear();
            foreach (Track t in of)
            {
                foreach (Attempt a in t.Open) Ask(t, a);
                if (t.Line != null) Ask(t, t.Line);
            }
            if (owners.Count == 0)
            {
                if (seconds > 0.0005) Thread.Sleep(Math.Max(1, (int)(seconds * 1000)));
                return;
            }
            Socket.Select(readable, writable, broken, seconds <= 0 ? 0 : (int)Math.Min(1e6, seconds * 1e6));
            Dispatch(readable); Dispatch(writable); Dispatch(broken);
        }

        private void Ask(Track t, Attempt a)
        {
            owners[a.Sock] = new KeyValuePair<Track, Attempt>(t, a);
            if (a.Connected) readable.Add(a.Sock);
            else { writable.Add(a.Sock); broken.Add(a.Sock); } // Windows tells of a refused connection in the third list
        }

        private void Dispatch(List<Socket> ready)
        {
            foreach (Socket one in ready)
            {
                KeyValuePair<Track, Attempt> owner;
                if (owners.TryGetValue(one, out owner) && owner.Value.Sock == one) owner.Key.Happened(owner.Value);
            }
        }

        public void Close(Attempt a)
        {
            if (a.Sock == null) return;
            a.Sock.Close();
            a.Sock = null;
            Sockets--;
        }

        /// <summary>Windows tries again for a second after a refusal, unless it is told to retransmit nothing, or as little as it can.</summary>
        public void TellAtOnce(Socket sock)
        {
            if (!atOnce) return;
            try { sock.IOControl(InitialRto, LeastRetransmissions, null); }
            catch (SocketException) { atOnce = false; }
        }

        public static char OutcomeOf(SocketError code)
        {
            switch (code)
            {
                case SocketError.ConnectionRefused: return 'r';
                case SocketError.TimedOut: return 's';
                case SocketError.ConnectionReset: case SocketError.ConnectionAborted: case SocketError.Shutdown: return 'x';
                case SocketError.AddressAlreadyInUse: case SocketError.AddressNotAvailable:
                case SocketError.NoBufferSpaceAvailable: case SocketError.TooManyOpenSockets: return 'k';
                default: return 'u';
            }
        }

        public static string DetailOf(SocketError code)
        {
            switch (code)
            {
                case SocketError.ConnectionRefused: case SocketError.ConnectionReset: return "";
                case SocketError.AccessDenied: return code + ": a filter of this host itself forbids it";
                case SocketError.NetworkDown: return code + ": this host's own NIC is down";
                case SocketError.ConnectionAborted: return code + ": given up by this host, not reset by the other";
                default: return code.ToString();
            }
        }
    }

    /// <summary>Where PowerShell and Mono begin.</summary>
    public static class Program
    {
        public static int Main() { return Run(Console.OpenStandardInput(), Console.OpenStandardOutput()); }

        public static int Run(Stream from, Stream to) { return Agent.Run(from, to); }
    }
}
