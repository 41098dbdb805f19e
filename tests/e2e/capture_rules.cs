// What receive-all's packets are taken for, tried without Windows: compiled together with the packet capture by test_csharp_capture.py.
using System;
using System.Collections.Generic;
using LkHarness;

public static class Rules
{
    private const uint Own = 0x0A14010B, Vip = 0x0A1401C8, Peer = 0x0A14010C; // 10.20.1.11, .200, .12

    private static byte[] Packet(uint from, uint to, int id, byte flags)
    {
        byte[] data = new byte[40];
        data[0] = 0x45; data[4] = (byte)(id >> 8); data[5] = (byte)id; data[9] = 6; data[32] = 0x50; data[33] = flags;
        for (int i = 0; i < 4; i++) { data[12 + i] = (byte)(from >> (24 - 8 * i)); data[16 + i] = (byte)(to >> (24 - 8 * i)); }
        return data;
    }

    public static int Main()
    {
        Directions way = new Directions { Own = new HashSet<uint> { Own } };
        Action<string, uint, uint, int, byte, double> say = delegate(string what, uint from, uint to, int id, byte flags, double at)
        {
            Console.WriteLine(what + ": " + way.Of(Packet(from, to, id, flags), 40, "Ethernet", at));
        };
        say("sent", Own, Vip, 1, 2, 0);
        say("came back unchanged", Own, Vip, 1, 2, 0.01);
        say("sent again", Own, Vip, 2, 2, 1.0);
        say("its number used again", Own, Vip, 1, 2, 5.0);
        say("data twice", Own, Peer, 7, 16, 5.0);
        say("data twice", Own, Peer, 7, 16, 5.01);
        say("came back rewritten", Own, Own, 1, 2, 5.1);
        say("received", Peer, Own, 3, 2, 5.2);
        say("a stranger's", Peer, Vip, 3, 2, 5.3);
        way.Own = new HashSet<uint> { Own, Vip };
        say("for the VIP that it holds now", Peer, Vip, 4, 2, 5.4);
        say("answered from the VIP", Vip, Peer, 5, 18, 5.5);
        return 0;
    }
}
