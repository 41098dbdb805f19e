// Runs on a Windows host without Python: measures new and established TCP connections open-loop, at 10 ms, and prints what it sees.
//
// C# 5 and .NET Framework 4.5's own library (System.dll and mscorlib.dll), so that Windows PowerShell 5.1 compiles it by Add-Type; the
// same file is compiled and run on Mono. PowerShell calls LkHarness.Agent.Run(), Mono starts Main.
// Its input, one line each, words parted by blanks, `-` for an empty one:
//   track ID DESTINATION PORT KIND PERIOD LIMIT HTTP SAY EXPECT AGAIN    ID, SAY, EXPECT and AGAIN in base64, KIND new or pinned, HTTP 0 or 1
//   lifetime SECONDS / max_open NUMBER / capture ADDRESS / watch VIP SECONDS PORTS CONNECTIONS / begin
// and after that `ping N`, answered with `p N MONOTONIC WALL`; `renew`; `stop`. It ends with its input, on `stop`, or after its lifetime.
// Its output, times in microseconds since t0, as harness/remote/scripts/agent.py has them:
//   h running; a {header}; s SERIES AT TOOK OUTCOME PORT DETAIL; n AT TICKS LATE WORST STEAL LOAD; v {event}; e {end}; x
// Steal and load are not known here: -1. With `capture`, events of the kind `packet` have what a raw socket with receive-all sees of TCP
// from or to the tracks' ports; where it cannot be had, an event `no-capture` says why. With `watch`, looked at every so many seconds:
// vip-up and vip-down, listener-up and listener-down on PORTS, and `connected` for who came to CONNECTIONS (both parted by commas).
using System;
using System.Collections.Concurrent;
using System.Collections.Generic;
using System.Diagnostics;
using System.Globalization;
using System.IO;
using System.Net;
using System.Net.NetworkInformation;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.RegularExpressions;
using System.Threading;

namespace LkHarness
{
    /// <summary>The clocks: one that only goes forward, and the wall's, as finely as the system has them.</summary>
    public static class Clocks
    {
        [DllImport("kernel32.dll", EntryPoint = "GetSystemTimePreciseAsFileTime")]
        private static extern void Precise(out long fileTime);

        [DllImport("winmm.dll", EntryPoint = "timeBeginPeriod")]
        private static extern uint BeginPeriod(uint milliseconds);

        [DllImport("winmm.dll", EntryPoint = "timeEndPeriod")]
        private static extern uint EndPeriod(uint milliseconds);

        private static readonly double Frequency = Stopwatch.Frequency;
        private static readonly long Epoch = new DateTime(1970, 1, 1, 0, 0, 0, DateTimeKind.Utc).ToFileTimeUtc();
        private static bool precise = OnWindows;

        public static bool OnWindows
        {
            get { PlatformID id = Environment.OSVersion.Platform; return id != PlatformID.Unix && id != PlatformID.MacOSX; }
        }

        /// <summary>Seconds, monotonic.</summary>
        public static double Mono() { return Stopwatch.GetTimestamp() / Frequency; }

        /// <summary>Seconds since 1970. DateTime.UtcNow moves in steps of up to 15.6 ms on Windows.</summary>
        public static double Wall()
        {
            if (precise)
            {
                try { long now; Precise(out now); return (now - Epoch) / 1e7; }
                catch (EntryPointNotFoundException) { precise = false; }
                catch (DllNotFoundException) { precise = false; }
            }
            return (DateTime.UtcNow.ToFileTimeUtc() - Epoch) / 1e7;
        }

        /// <summary>Windows wakes a waiting thread every 15.6 ms unless somebody asks for more; this process asks for 1 ms while it runs.</summary>
        public static string Finer(bool on)
        {
            if (!OnWindows) return "the system's own";
            try { return (on ? BeginPeriod(1) : EndPeriod(1)) == 0 ? "1 ms" : "refused"; }
            catch (DllNotFoundException) { return "no winmm"; }
            catch (EntryPointNotFoundException) { return "no winmm"; }
        }
    }

    /// <summary>One connection: on its way, or the pinned one that stands.</summary>
    public sealed class Attempt
    {
        public double At;
        public Socket Sock;
        public int Port;
        public bool Connected;
        public readonly StringBuilder Heard = new StringBuilder();
    }

    /// <summary>One series: a connection of its own at every tick, which no slow one delays; or one long connection with a heartbeat.</summary>
    public sealed class Track
    {
        public const int MaxAnswer = 16384, MaxHttp = 65536;
        private static readonly Regex Sender = new Regex("(?is)\\AHTTP/1\\.\\d .*?\\r\\nServer:[ \\t]*([^\\r\\n]{1,60})", RegexOptions.CultureInvariant);
        private static readonly Regex Listener = new Regex("\\(ERR=(\\d{1,5})\\)", RegexOptions.CultureInvariant);
        private static readonly Regex State = new Regex("(?s)\\AE.{4}(?:[^\\x00]+\\x00)*?C([0-9A-Z]{5})\\x00", RegexOptions.CultureInvariant);

        public int Number;
        public string Id;
        public IPEndPoint Target;
        public double Period, Limit, First, Next;
        public long Count;
        public bool IsPinned, IsHttp;
        public byte[] Say;
        public Regex Expect, Again;
        public readonly List<Attempt> Open = new List<Attempt>();

        private readonly Agent agent;
        private Attempt line;
        private bool waiting, stale;
        private string why = "connected";

        public Track(Agent owner) { agent = owner; }

        public Attempt Line { get { return line; } }

        /// <summary>Another connection takes the place of the one that stands.</summary>
        public void Renew() { stale = IsPinned; }

        /// <summary>One attempt, or one heartbeat.</summary>
        public void Tick()
        {
            if (!IsPinned) { Begin(); return; }
            if (stale && !waiting)
            {
                stale = false;
                if (line != null) Part("reconnected because a recording began");
            }
            if (line == null) Begin();
            else if (!waiting)
            {
                line.At = Clocks.Mono(); line.Heard.Length = 0; waiting = true;
                Speak(line);
            }
        }

        private void Begin()
        {
            Attempt a = new Attempt();
            a.At = Clocks.Mono();
            if (agent.Sockets >= agent.MaxOpen) { Record(a.At, 0, 'k', 0, agent.Sockets + " sockets are open already"); return; }
            try
            {
                a.Sock = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
                a.Sock.LingerState = new LingerOption(true, 0); // closed with RST: no TIME_WAIT, and the port is free again at once
                a.Sock.NoDelay = true;
                agent.TellAtOnce(a.Sock);
                a.Sock.Bind(new IPEndPoint(IPAddress.Any, 0));
                a.Port = ((IPEndPoint)a.Sock.LocalEndPoint).Port;
                a.Sock.Blocking = false;
                a.At = Clocks.Mono();
                a.Sock.Connect(Target);
            }
            catch (SocketException e)
            {
                if (e.SocketErrorCode != SocketError.WouldBlock && e.SocketErrorCode != SocketError.InProgress)
                {
                    if (a.Sock != null) a.Sock.Close();
                    Record(a.At, Clocks.Mono() - a.At, Agent.OutcomeOf(e.SocketErrorCode), a.Port, Agent.DetailOf(e.SocketErrorCode));
                    return;
                }
            }
            agent.Sockets++;
            Open.Add(a);
        }

        /// <summary>Its socket has something to say: it stands, it failed, or an answer came.</summary>
        public void Happened(Attempt a)
        {
            try
            {
                if (!a.Connected)
                {
                    SocketError error = (SocketError)(int)a.Sock.GetSocketOption(SocketOptionLevel.Socket, SocketOptionName.Error);
                    if (error != SocketError.Success) { Lost(a, error); return; }
                    a.Connected = true;
                    Speak(a);
                    return;
                }
                while (a.Sock != null)
                {
                    SocketError code;
                    int count = a.Sock.Receive(agent.Buffer, 0, agent.Buffer.Length, SocketFlags.None, out code);
                    if (code == SocketError.WouldBlock) return;
                    if (code != SocketError.Success) { Lost(a, code); return; }
                    if (count == 0) { Lost(a, SocketError.Success); return; }
                    for (int i = 0; i < count; i++) a.Heard.Append((char)agent.Buffer[i]);
                    Weigh(a);
                    if (count < agent.Buffer.Length) return;
                }
            }
            catch (SocketException e) { Lost(a, e.SocketErrorCode); }
        }

        private void Speak(Attempt a)
        {
            try { if (Say.Length > 0) a.Sock.Send(Say); }
            catch (SocketException e) { Lost(a, e.SocketErrorCode); return; }
            if (Expect == null) Answered(a);
        }

        private void Weigh(Attempt a)
        {
            if (IsPinned && a == line && !waiting) { a.Heard.Length = 0; return; } // nobody asked: such as a notice that it will be closed
            string heard = a.Heard.ToString();
            if (Expect != null && Expect.IsMatch(heard))
            {
                string end = IsPinned && IsHttp ? HttpEnd(heard) : "kept";
                if (end == "unfinished" && heard.Length <= MaxHttp) return;
                Answered(a);
                if (end != "kept" && a == line) Part(end == "ended" ? "reconnected after the server ended it" : "reconnected because its answer is too long");
            }
            else if (Again != null && Again.IsMatch(heard)) { a.Heard.Length = 0; Speak(a); }
            else if (heard.Length > MaxAnswer) End(a, 's', "said " + Words(heard) + ", and more than " + MaxAnswer + " bytes of it");
        }

        private void Answered(Attempt a)
        {
            double now = Clocks.Mono();
            if (!IsPinned || (a != line && line != null)) { End(a, 'a', ""); return; } // one that was overtaken is answered all the same
            if (a != line)
            {
                Record(a.At, now - a.At, 'a', a.Port, why);
                line = a; why = "reconnected";
                for (int i = Open.Count - 1; i >= 0; i--)
                {
                    if (Open[i] == a || Open[i].At > a.At) { if (Open[i] != a) agent.Close(Open[i]); Open.RemoveAt(i); }
                }
            }
            else if (waiting) Record(a.At, now - a.At, 'a', a.Port, "");
            a.Heard.Length = 0; waiting = false;
        }

        private void Lost(Attempt a, SocketError code)
        {
            string heard = a.Heard.ToString();
            bool closed = code == SocketError.Success;
            if (IsPinned && a == line && closed && ((IsHttp && heard.Length == 0) || !waiting)) { Part("reconnected after the server ended it"); return; }
            string detail = !closed ? Agent.DetailOf(code) : heard.Length > 0 ? "closed after " + Words(heard) : "closed without a word";
            End(a, closed ? 'x' : Agent.OutcomeOf(code), detail);
        }

        private void Part(string reason)
        {
            agent.Close(line);
            line = null; waiting = false; why = reason;
        }

        private void End(Attempt a, char outcome, string detail)
        {
            if (a == line)
            {
                if (!waiting) { a.At = Clocks.Mono(); detail = (detail + " between heartbeats").Trim(); }
                line = null; waiting = false;
            }
            Record(a.At, Clocks.Mono() - a.At, outcome, a.Port, detail);
            Open.Remove(a);
            agent.Close(a);
        }

        /// <summary>Gives up what has reached its limit. The oldest are in front.</summary>
        public void Expire(double now)
        {
            while (Open.Count > 0 && now >= Open[0].At + Limit) End(Open[0], 's', Silence(Open[0]));
            if (waiting && now >= line.At + Limit) End(line, 's', Silence(line));
        }

        private void Record(double at, double took, char outcome, int port, string detail)
        {
            agent.Sample(Number, at, took, outcome, port, detail);
        }

        private static string Silence(Attempt a)
        {
            return a.Heard.Length > 0 ? "said " + Words(a.Heard.ToString()) : a.Connected ? "accepted, but not answered" : "";
        }

        /// <summary>The beginning of what was said, and who sent it or which error it is, where that can be told.</summary>
        public static string Words(string heard)
        {
            StringBuilder text = new StringBuilder("b'");
            foreach (char c in heard.Substring(0, Math.Min(40, heard.Length)))
            {
                if (c == '\\' || c == '\'') text.Append('\\').Append(c);
                else if (c == '\n') text.Append("\\n");
                else if (c == '\r') text.Append("\\r");
                else if (c == '\t') text.Append("\\t");
                else if (c < 32 || c > 126) text.Append("\\x").Append(((int)c).ToString("x2", CultureInfo.InvariantCulture));
                else text.Append(c);
            }
            text.Append('\'');
            Match who = Sender.Match(heard), error = Listener.Match(heard), state = State.Match(heard);
            if (who.Success) text.Append(" by Server: ").Append(who.Groups[1].Value);
            else if (error.Success) text.Append(" (ORA-").Append(error.Groups[1].Value.PadLeft(5, '0')).Append(')');
            else if (state.Success) text.Append(" (SQLSTATE ").Append(state.Groups[1].Value).Append(')');
            return text.ToString();
        }

        /// <summary>Is an HTTP answer whole, and may its connection be used again? unfinished, kept or ended.</summary>
        public static string HttpEnd(string heard)
        {
            int cut = heard.IndexOf("\r\n\r\n", StringComparison.Ordinal);
            if (cut < 0) return "unfinished";
            string head = heard.Substring(0, Math.Max(0, cut)).ToLowerInvariant() + "\r\n", body = heard.Substring(cut + 4);
            string tokens = "";
            foreach (Match one in Regex.Matches(head, "\\r\\nconnection:([^\\r]*)", RegexOptions.CultureInvariant)) tokens += one.Groups[1].Value + ",";
            bool ends = tokens.Contains("close") || (head.StartsWith("http/1.0", StringComparison.Ordinal) && !tokens.Contains("keep-alive"));
            Match length = Regex.Match(head, "\\r\\ncontent-length:[ \\t]*(\\d{1,9})", RegexOptions.CultureInvariant);
            bool whole;
            if (head.Length > 12 && (head.Substring(9, 3) == "204" || head.Substring(9, 3) == "304")) whole = true;
            else if (Regex.IsMatch(head, "\\r\\ntransfer-encoding:[^\\r]*chunked", RegexOptions.CultureInvariant)) whole = Regex.IsMatch(body, "(\\A|\\r\\n)0+[^\\r]*\\r\\n(?:[^\\r]+\\r\\n)*\\r\\n", RegexOptions.CultureInvariant);
            else if (length.Success) whole = body.Length >= int.Parse(length.Groups[1].Value, CultureInfo.InvariantCulture);
            else return "ended"; // its end would be the connection's
            return !whole ? "unfinished" : ends ? "ended" : "kept";
        }
    }

    /// <summary>What changes at the host: its VIP, who listens, and who is connected. What comes and goes between two looks is not seen.</summary>
    public sealed class HostWatch
    {
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
                one.LocalEndPoint.Port, Agent.Json(one.LocalEndPoint.Address.ToString()),
                Agent.Json(one.RemoteEndPoint.Address.ToString()), one.RemoteEndPoint.Port);
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
            tell(kind, words[1] + ":" + words[0], "\"port\":" + words[0] + ",\"address\":" + Agent.Json(words[1]) + initial);
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
            string data = "\"address\":" + Agent.Json(vip) + ",\"interface\":" + Agent.Json(where) + (first ? ",\"initial\":true" : "");
            tell(where == "" ? "vip-down" : "vip-up", where, data);
        }
    }

    /// <summary>Everything that one process measures, in one loop; one thread reads what is asked, one writes what was seen.</summary>
    public sealed class Agent
    {
        private const int InitialRto = -1744830447; // SIO_TCP_INITIAL_RTO
        private const long MaxQueued = 64L * 1024 * 1024;
        private static readonly byte[] NoRetransmission = { 255, 255, 254, 0 };

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

        public static int Main() { return Run(); }

        /// <summary>From the first line of standard input to the last of standard output.</summary>
        public static int Run() { return Run(Console.OpenStandardInput(), Console.OpenStandardOutput()); }

        public static int Run(Stream from, Stream to)
        {
            Agent agent = new Agent(to);
            StreamReader reader = new StreamReader(from, Encoding.ASCII);
            string capture;
            try { capture = agent.Plan(reader); }
            catch (Exception e) { Console.Error.WriteLine("no plan: " + e.GetType().Name + ": " + e.Message); return 2; }
            if (capture == null) return 2;
            Thread writer = new Thread(delegate() { agent.Guarded("output", agent.Write); });
            writer.IsBackground = true;
            writer.Start();
            Thread asked = new Thread(delegate() { agent.Guarded("input", delegate() { agent.Read(reader); }); });
            asked.IsBackground = true;
            string timer = Clocks.Finer(true);
            try
            {
                agent.Prioritised();
                string cold = agent.Warm();
                agent.t0 = Clocks.Mono();
                agent.counts = true;
                agent.Header(timer);
                if (cold != "") agent.Event("no-warm-up", cold, "");
                asked.Start();
                if (capture != "") agent.Capture(capture);
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

        /// <summary>The address whose packets are asked for, "" for none; null where no plan came.</summary>
        private string Plan(StreamReader reader)
        {
            string capture = "";
            for (string line = reader.ReadLine(); line != null; line = reader.ReadLine())
            {
                string[] words = line.Trim().Split(' ');
                if (words[0] == "begin") return capture;
                if (words[0] == "lifetime") lifetime = Number(words[1]);
                if (words[0] == "max_open") MaxOpen = (int)Number(words[1]);
                if (words[0] == "capture") capture = words[1];
                if (words[0] == "watch") watch = new HostWatch(Event, words[1], Number(words[2]), words[3], words[4]);
                if (words[0] == "track") tracks.Add(TrackOf(words));
            }
            return null;
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
            string told = "v {\"at\":" + Us(Clocks.Mono() - t0) + ",\"kind\":" + Json(kind) + ",\"text\":" + Json(text) + ",\"data\":{" + data + "}}\n";
            Queue(told);
        }

        private void Header(string timer)
        {
            List<string> ids = new List<string>();
            foreach (Track t in tracks) ids.Add(Json(t.Id));
            Queue("h running\n" + string.Format(CultureInfo.InvariantCulture, "a {{\"t0\":{0:F9},\"wall\":{1:F9},\"pid\":{2},\"timer\":{3},\"series\":[{4}]}}\n",
                t0, Clocks.Wall() - (Clocks.Mono() - t0), Process.GetCurrentProcess().Id, Json(timer), string.Join(",", ids.ToArray())));
        }

        public static string Json(string text)
        {
            StringBuilder made = new StringBuilder("\"");
            foreach (char c in text)
            {
                if (c == '"' || c == '\\') made.Append('\\').Append(c);
                else if (c < 32 || c > 126) made.Append("\\u").Append(((int)c).ToString("x4", CultureInfo.InvariantCulture));
                else made.Append(c);
            }
            return made.Append('"').ToString();
        }

        private void Finish(string reason, bool final)
        {
            foreach (Track t in tracks)
            {
                foreach (Attempt a in t.Open) Close(a);
                if (t.Line != null) Close(t.Line);
            }
            lines.Append("e {\"at\":" + Us(Clocks.Mono() - t0) + ",\"reason\":" + Json(reason) + ",\"final\":" + (final ? "true" : "false") + ",\"samples\":" + samples + "}\nx\n");
            Queue(lines.ToString());
            lines.Length = 0;
        }

        // --- its loop

        private void Prioritised()
        {
            if (!Clocks.OnWindows) return; // whoever starts it there says how nice it is
            try { Process.GetCurrentProcess().PriorityClass = ProcessPriorityClass.High; }
            catch (System.ComponentModel.Win32Exception) { } // the ticks that come late tell how much it mattered
            catch (InvalidOperationException) { }
            catch (NotSupportedException) { }
            Thread.CurrentThread.Priority = ThreadPriority.Highest;
        }

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
            Track.Words("x"); Track.HttpEnd("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"); Json("x"); Clocks.Wall();
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

        /// <summary>Windows tries again for a second after a refusal, unless it is told to retransmit nothing.</summary>
        public void TellAtOnce(Socket sock)
        {
            if (!atOnce) return;
            try { sock.IOControl(InitialRto, NoRetransmission, null); }
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
            return code == SocketError.ConnectionRefused || code == SocketError.ConnectionReset ? "" : code.ToString();
        }

        // --- packets

        /// <summary>TCP packets from and to the tracks' ports, as a raw socket with receive-all sees them; administrators only.</summary>
        private void Capture(string address)
        {
            if (!Clocks.OnWindows) { Event("no-capture", "receive-all is Windows' own; on this system packets are watched by other means", ""); return; }
            Socket raw;
            try
            {
                raw = new Socket(AddressFamily.InterNetwork, SocketType.Raw, ProtocolType.IP);
                raw.Bind(new IPEndPoint(IPAddress.Parse(address), 0));
                raw.ReceiveBufferSize = 8 * 1024 * 1024;
                raw.IOControl(IOControlCode.ReceiveAll, BitConverter.GetBytes(1), new byte[4]);
            }
            catch (SocketException e) { Event("no-capture", "receive-all on " + address + " was refused: " + e.SocketErrorCode, ""); return; }
            catch (FormatException) { Event("no-capture", address + " is no address", ""); return; }
            List<int> ports = new List<int>();
            foreach (Track t in tracks) ports.Add(t.Target.Port);
            Thread reader = new Thread(delegate() { Watched(raw, ports); });
            reader.IsBackground = true;
            reader.Start();
        }

        /// <summary>A capture that breaks ends the capture and not the measuring.</summary>
        private void Watched(Socket raw, List<int> ports)
        {
            try { Watch(raw, ports); }
            catch (Exception e) { Event("no-capture", "receive-all broke: " + e.GetType().Name + ": " + e.Message, ""); }
        }

        private void Watch(Socket raw, List<int> ports)
        {
            byte[] data = new byte[65536];
            while (true)
            {
                int count;
                try { count = raw.Receive(data); }
                catch (SocketException e) { Event("no-capture", "receive-all ended: " + e.SocketErrorCode, ""); return; }
                double wall = Clocks.Wall();
                int head = (data[0] & 15) * 4;
                if (count < head + 14 || data[9] != 6) continue;
                int source = data[head] << 8 | data[head + 1], target = data[head + 2] << 8 | data[head + 3];
                if (!ports.Contains(source) && !ports.Contains(target)) continue;
                int headers = head + (data[head + 12] >> 4) * 4; // no more than that: what is said on other people's connections is not ours
                string bytes = BitConverter.ToString(data, 0, Math.Min(count, Math.Min(headers, 96))).Replace("-", "").ToLowerInvariant();
                Event("packet", "", "\"t\":" + wall.ToString("F6", CultureInfo.InvariantCulture) + ",\"raw\":\"" + bytes + "\"");
            }
        }
    }
}
