using Godwit.Engine.Cpu;
using Godwit.Engine.Interpreter;
using Iced.Intel;

namespace Godwit.Engine.Tests.Interpreter.Differential;

/// <summary>Makes random cases of every form of the rows under test that the encoder knows.</summary>
internal sealed unsafe class CaseGenerator
{
    private const ulong FlagMask = Rflags.Arithmetic | Rflags.DF;

    private readonly Random _random;
    private readonly Code[] _codes64, _codes32;
    private readonly byte[] _pattern = new byte[NativeCase.WindowBytes * 2];
    private readonly ByteWriter _writer = new();
    private readonly Encoder _encoder64, _encoder32;

    public CaseGenerator(int seed, IEnumerable<Row> rows, Func<Code, bool> allowed)
    {
        _random = new Random(seed);
        _random.NextBytes(_pattern);
        HashSet<Mnemonic> mnemonics = [.. rows.Select(row => row.Mnemonic)];
        Code[] codes = [.. Enum.GetValues<Code>().Where(code => mnemonics.Contains(code.Mnemonic()) && IsPlain(code) && allowed(code))];
        _codes64 = [.. codes.Where(code => code.ToOpCode().Mode64)];
        _codes32 = [.. codes.Where(code => code.ToOpCode().Mode32)];
        _encoder64 = Encoder.Create(64, _writer);
        _encoder32 = Encoder.Create(32, _writer);
    }

    public int Forms => _codes64.Length + _codes32.Length;

    /// <summary>Fills a case and returns its instruction.</summary>
    public Instruction Next(NativeCase* unit)
    {
        while (true)
        {
            bool wide = _random.Next(3) != 0;
            Code[] codes = wide ? _codes64 : _codes32;
            Code code = codes[_random.Next(codes.Length)];
            if (TryMake(code, wide, unit, out Instruction instruction))
                return instruction;
        }
    }

    /// <summary>Forms that name no segment, control or debug register and stay in their code segment.</summary>
    private static bool IsPlain(Code code)
    {
        OpCodeInfo info = code.ToOpCode();
        // 16-bit branches would leave the code page; a far one, the code segment.
        if (code.FlowControl() != FlowControl.Next && info.OperandSize == 16)
            return false;
        for (int i = 0; i < info.OpCount; i++)
            if (info.GetOpKind(i) is OpCodeOperandKind.seg_reg or OpCodeOperandKind.cr_reg or OpCodeOperandKind.dr_reg or OpCodeOperandKind.tr_reg
                or OpCodeOperandKind.es or OpCodeOperandKind.cs or OpCodeOperandKind.ss or OpCodeOperandKind.ds or OpCodeOperandKind.fs or OpCodeOperandKind.gs
                or OpCodeOperandKind.farbr2_2 or OpCodeOperandKind.farbr4_2 or OpCodeOperandKind.br16_1 or OpCodeOperandKind.br16_2)
                return false;
        return info.Encoding is EncodingKind.Legacy or EncodingKind.VEX
            && !code.IsJmpFarIndirect() && !code.IsCallFarIndirect() && info.IsInstruction
            && (info.Mode64 || info.Mode32) && info.AddressSize != 16;
    }

    private bool TryMake(Code code, bool wide, NativeCase* unit, out Instruction instruction)
    {
        OpCodeInfo info = code.ToOpCode();
        instruction = new Instruction { Code = code };
        unit->Bitness = wide ? 64ul : 32;
        unit->Rflags = 0x202 | (ulong)_random.NextInt64() & FlagMask;
        for (int i = 0; i < 16; i++)
            unit->Gpr[i] = Value();
        new ReadOnlySpan<byte>(_pattern, _random.Next(NativeCase.WindowBytes), NativeCase.WindowBytes).CopyTo(new Span<byte>(unit->Memory, NativeCase.WindowBytes));

        OperandMaker operands = new(_random, wide, unit);
        if (!operands.Fill(info, ref instruction))
            return false;
        if (info.CanUseLockPrefix && instruction.Op0Kind == OpKind.Memory && _random.Next(3) == 0)
            instruction.HasLockPrefix = true;
        if (instruction.IsStringInstruction && _random.Next(2) == 0)
        {
            if (info.CanUseRepnePrefix && _random.Next(2) == 0)
                instruction.HasRepnePrefix = true;
            else
                instruction.HasRepPrefix = true;
        }
        operands.Prepare(instruction);
        if (!wide)
        {
            // What lies above 32 bits does not exist there, and comes back as the processor likes.
            for (int i = 0; i < 16; i++)
                unit->Gpr[i] = i < 8 ? (uint)unit->Gpr[i] : 0;
        }
        if (!operands.InWindow(instruction))
            return false;
        _writer.Clear();
        Encoder encoder = wide ? _encoder64 : _encoder32;
        if (!encoder.TryEncode(instruction, NativeCase.Code, out _, out _) || _writer.Bytes.Length > 15)
            return false;
        new Span<byte>(unit->Bytes, 16).Fill(0xcc);
        _writer.Bytes.CopyTo(new Span<byte>(unit->Bytes, 16));
        instruction.Length = _writer.Bytes.Length;
        return true;
    }

    /// <summary>A register's value: often one at which something happens.</summary>
    private ulong Value() => _random.Next(8) switch
    {
        0 => (ulong)_random.Next(4),
        1 => ulong.MaxValue - (ulong)_random.Next(3),
        2 => 1ul << _random.Next(64),
        3 => (1ul << _random.Next(64)) - 1,
        4 => (ulong)_random.Next(0x100),
        5 => (ulong)(uint)_random.NextInt64(),
        _ => (ulong)_random.NextInt64() << 1 ^ (ulong)_random.NextInt64(),
    };

    private sealed class ByteWriter : CodeWriter
    {
        private readonly byte[] _bytes = new byte[32];
        private int _count;

        public ReadOnlySpan<byte> Bytes => _bytes.AsSpan(0, _count);

        public void Clear() => _count = 0;

        public override void WriteByte(byte value) => _bytes[_count++] = value;
    }
}
