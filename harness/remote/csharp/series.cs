// A part of the measuring agent in C# (see agent.cs): one series of connections.
namespace LkHarness
{
    using System;
    using System.Collections.Generic;
    using System.Globalization;
    using System.Net;
    using System.Net.Sockets;
    using System.Text;
    using System.Text.RegularExpressions;

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
}
