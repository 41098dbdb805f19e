// The clocks of the programs in C#, and JSON: a part of each of them (see csharp_program.py), in C# 5.
namespace LkHarness
{
    using System;
    using System.Diagnostics;
    using System.Globalization;
    using System.Runtime.InteropServices;
    using System.Text;
    using System.Threading;

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

        /// <summary>This process comes before others, and its calling thread before its others: what is late is measured late.</summary>
        public static void Prioritised()
        {
            if (!OnWindows) return; // whoever starts it there says how nice it is
            try { Process.GetCurrentProcess().PriorityClass = ProcessPriorityClass.High; }
            catch (System.ComponentModel.Win32Exception) { } // the ticks that come late tell how much it mattered
            catch (InvalidOperationException) { }
            catch (NotSupportedException) { }
            Thread.CurrentThread.Priority = ThreadPriority.Highest;
        }
    }

    /// <summary>Text as JSON has it, in ASCII alone.</summary>
    public static class JsonText
    {
        public static string Of(string text)
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
    }
}
