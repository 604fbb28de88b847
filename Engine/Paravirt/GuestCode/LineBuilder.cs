using System.Text;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Godwit.Engine.Paravirt.GuestCode;

/// <summary>Emits code that puts a line of text together. RDI is the cursor throughout; RAX RCX RDX RSI R8 change.</summary>
internal sealed class LineBuilder(Assembler c)
{
    /// <summary>Room for the longest line.</summary>
    public const int Capacity = 1024;

    private readonly List<(Label Label, byte[] Bytes)> _texts = [];
    private Label _decimal = c.CreateLabel();

    /// <summary>Appends a constant text.</summary>
    public void Text(string text)
    {
        byte[] bytes = Encoding.ASCII.GetBytes(text);
        Label label = c.CreateLabel();
        _texts.Add((label, bytes));
        c.lea(rsi, __[label]);
        c.mov(ecx, bytes.Length);
        c.rep.movsb();
    }

    /// <summary>Appends " name=" and a quadword in decimal.</summary>
    public void Field(string name, AssemblerMemoryOperand value)
    {
        Text($" {name}=");
        c.mov(rax, value);
        c.call(_decimal);
    }

    /// <summary>Appends RAX in decimal.</summary>
    public void Decimal() => c.call(_decimal);

    /// <summary>Emits the routine and the texts; once, where no code runs into them.</summary>
    public void EmitShared()
    {
        Label digit = c.CreateLabel(), copy = c.CreateLabel();
        c.Label(ref _decimal);
        c.xor(ecx, ecx);
        c.mov(r8d, 10);
        c.Label(ref digit);
        c.xor(edx, edx);
        c.div(r8);
        c.add(edx, '0');
        c.push(rdx);
        c.inc(ecx);
        c.test(rax, rax);
        c.jne(digit);
        c.Label(ref copy);
        c.pop(rax);
        c.stosb();
        c.dec(ecx);
        c.jne(copy);
        c.ret();

        foreach ((Label text, byte[] bytes) in _texts)
        {
            Label here = text;
            c.Label(ref here);
            c.db(bytes);
        }
    }
}
