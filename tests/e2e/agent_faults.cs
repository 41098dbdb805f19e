// The measuring agent with streams and sockets that fail: compiled together with it by test_csharp_agent.py.
using System;
using System.Collections.Generic;
using System.IO;
using System.Net.Sockets;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Text;
using System.Threading;
using LkHarness;

public class Says : MemoryStream { public Says(string text) : base(Encoding.ASCII.GetBytes(text)) { } }

public class BreaksWhenRead : Says
{
    private bool told;
    public BreaksWhenRead(string text) : base(text) { }
    public override int Read(byte[] to, int at, int count)
    {
        if (told) throw new ObjectDisposedException("the channel");
        told = true;
        return base.Read(to, at, count);
    }
}

public class BreaksWhenWritten : MemoryStream
{
    public override void Write(byte[] from, int at, int count) { throw new ObjectDisposedException("the channel"); }
}

public class WaitsForEver : Says
{
    public WaitsForEver(string text) : base(text) { }
    public override int Read(byte[] to, int at, int count)
    {
        int got = base.Read(to, at, count);
        if (got == 0) Thread.Sleep(Timeout.Infinite);
        return got;
    }
}

public static class Faults
{
    [DllImport("libc", EntryPoint = "close")]
    private static extern int CloseHandle(int descriptor);

    public static int Main(string[] words)
    {
        MemoryStream said = new MemoryStream();
        if (words[0] == "input") Agent.Run(new BreaksWhenRead("lifetime 600\nbegin\n"), said);
        if (words[0] == "output") Console.Write("ended " + Agent.Run(new WaitsForEver("lifetime 600\nbegin\n"), new BreaksWhenWritten()));
        if (words[0] == "plan") Console.Write("ended " + Agent.Run(new Says("track x\nbegin\n"), said));
        if (words[0] == "socket") OfASocket(said);
        if (words[0] == "warm")
        {
            Agent.Run(new Says("track - 127.0.0.1 1 new 0.01 0.05 0 - - -\nlifetime 0\nbegin\n"), new MemoryStream()); // all is loaded by then
            List<Socket> taken = new List<Socket>();
            try { while (true) taken.Add(new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp)); }
            catch (SocketException) { }
            Agent.Run(new Says("lifetime 0\nbegin\n"), said);
            foreach (Socket one in taken) one.Close();
        }
        Console.Write(Encoding.ASCII.GetString(said.ToArray()));
        return 0;
    }

    // A socket that fails while it is asked for its error, as when a NIC goes away.
    private static void OfASocket(Stream said)
    {
        Agent agent = (Agent)Activator.CreateInstance(typeof(Agent), BindingFlags.NonPublic | BindingFlags.Instance, null, new object[] { said }, null);
        Track track = new Track(agent);
        Attempt attempt = new Attempt();
        attempt.Sock = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        track.Open.Add(attempt);
        agent.Sockets = 1;
        CloseHandle(attempt.Sock.Handle.ToInt32());
        track.Happened(attempt);
        Console.Write("open " + track.Open.Count + " sockets " + agent.Sockets);
    }
}
